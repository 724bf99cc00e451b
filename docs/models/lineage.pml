/* Lineage: two honest writers change one folder state, and the server is hostile.

   The server keeps every version that a writer signed. It may show any version to any writer, on
   any branch, as often as it likes, with any hashes as proof. It may drop the answer to a commit,
   so that the writer does not know whether the server has the version. It cannot forge a
   signature or find two values with one hash: a version is its number in this table, and a
   lineage is the version that it commits to last.

   Property: a writer that accepts a version has every version that it acknowledged before
   (accepted, or signed and got an answer for) as an ancestor of this one.

   -DNO_DESCENT  a newer version is accepted by its number alone
   -DNO_SAME     another version with the same number is accepted
   -DHONEST      the server shows its newest version with the true hashes; property: no alarm
   -DREACH       show that a writer can accept a version across a gap (an error is expected)    */

#ifndef VERSIONS
#define VERSIONS 8              /* of all branches together; version 0 is the first */
#endif
#define WRITERS 2
#define NOTHING 255             /* no version, or a lineage that no signed version carries */

byte number[VERSIONS];          /* the version number that the author signed */
byte lineage[VERSIONS];         /* the lineage: what the folded hashes must come to */
byte made = 1;                  /* how many versions the server has */
byte seen[WRITERS];             /* what each writer remembers: its newest acknowledged version */
byte acknowledged[WRITERS];     /* a set of versions, one bit each */
byte head;                      /* what an honest server shows */

/* Add to a lineage the hash of a version. Two lineages are equal only if all hashes in them are:
   the result is one that an author signed only if `hash` follows exactly this lineage. */
#define FOLD(folded, hash) (lineage[hash] == folded -> hash : NOTHING)

inline accept(w, shown) {
    /* The property goes by the true history, which no writer can look at. */
    at = shown;
    ancestors = 1 << shown;
    do
    :: lineage[at] != NOTHING -> at = lineage[at]; ancestors = ancestors | (1 << at)
    :: else -> break
    od;
    assert((acknowledged[w] & ancestors) == acknowledged[w]);
    acknowledged[w] = acknowledged[w] | (1 << shown);
    seen[w] = shown
}

inline verify(w, shown, gap) {
    /* `folded` starts with what the writer saw. The server chooses each hash in between. */
    folded = seen[w];
    reached = number[seen[w]] + 1;
    gap = 0;
    do
    :: reached < number[shown] ->
#ifdef HONEST
        /* the ancestor of the shown version with that number */
        hash = shown;
        do
        :: number[hash] > reached -> hash = lineage[hash]
        :: else -> break
        od;
#else
        select(hash : 0 .. made - 1);
#endif
        folded = (folded == NOTHING -> NOTHING : FOLD(folded, hash));
        reached++;
        gap++
    :: else -> break
    od;
    fits = (reached == number[shown] && folded != NOTHING && folded == lineage[shown]);
#ifdef NO_DESCENT
    fits = (number[shown] > number[seen[w]]);
#endif
}

proctype writer(byte w) {
    byte shown, hash, folded, reached, gap, at, ancestors;
    bool fits;
    do
    :: atomic {     /* the writer asks, and the server shows something */
#ifdef HONEST
        shown = head;
#else
        select(shown : 0 .. made - 1);
#endif
        if
        :: shown == seen[w] -> skip
        :: shown != seen[w] && number[shown] == number[seen[w]] ->
#ifdef NO_SAME
            accept(w, shown)
#else
            skip                                /* alarm: another version of the same number */
#endif
        :: number[shown] < number[seen[w]] -> skip     /* alarm: an older version */
        :: number[shown] > number[seen[w]] ->
            verify(w, shown, gap);
            if
            :: fits ->
                accept(w, shown);
#ifdef REACH
                assert(gap < 2)
#endif
            :: else -> skip                     /* alarm: it does not descend from what was seen */
            fi
        fi;
#ifdef HONEST
        assert(seen[w] == shown);
#endif
        shown = 0; hash = 0; folded = 0; reached = 0; gap = 0; at = 0; ancestors = 0; fits = false
       }
    :: atomic {     /* the writer signs the next version of what it has seen */
#ifdef HONEST
        made < VERSIONS && seen[w] == head ->   /* with an older one the answer is `stale` */
#else
        made < VERSIONS ->
#endif
        number[made] = number[seen[w]] + 1;
        lineage[made] = seen[w];
        head = made;
        if
        :: acknowledged[w] = acknowledged[w] | (1 << made); seen[w] = made
        :: skip                                 /* the answer does not arrive */
        fi;
        made++
       }
    od
}

init {
    atomic {
        number[0] = 1;
        lineage[0] = NOTHING;
        acknowledged[0] = 1;                    /* both writers have seen the first version */
        acknowledged[1] = 1;
        run writer(0);
        run writer(1)
    }
}
