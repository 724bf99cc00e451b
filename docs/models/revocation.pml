/* Revocation: the owner of a shared folder strikes out a hostile writer; the server is honest.

   Node 0 is the shared folder. Node 1 is in it and is shared on its own as well, so that
   it has a member list. The writer adds more folders, nested as deep as the server allows. Each
   node has a key of some generation, sealed in a link under a key of its parent. A node is due
   if its link is under an older key than the newest of its parent.

   While the writer is a member, he may add folders, put garbage into any entry, and renew keys.
   After that the server refuses his commits, but he keeps every key, and reads every link and
   former key that the server ever stores. The owner may also strike out a reader, so that nodes
   are due while the writer is still a member.

   Properties:
   - striking out is possible at every moment, in one commit;
   - every due node below can be renewed (until the owner has used up the generations himself);
   - nothing that is sealed afterwards opens with a key that the removed writer has.

   -DNO_SMALL  striking out renews, in the same commit, what is shared below
   -DNO_DUE    the writer renews whatever he likes, not only what is due
   -DNO_DEPTH  the depth is limited where nodes are renewed, not where they are made
   -DNO_WAY    a client renews the folder that it seals in, and not the due folders above it
   -DREACH     show that something is sealed after the removal (an error is expected)          */

#ifndef NODES
#define NODES 6
#endif
#define MAX_DEPTH 2             /* in the system: 128 */
#define MAX_GENERATION 3        /* in the system: 1,024; the owner needs 3 for two removals */

byte nodes = 2;
byte parent[NODES];
byte depth[NODES];
byte generation[NODES];
byte link_generation[NODES];    /* the generation of the parent's key that the link is under */
bool garbage[NODES];            /* the entry does not verify or does not open */
byte known[NODES];              /* the newest generation whose key the writer has; 0: none */
bool member = true;             /* the hostile writer is in the list */
bool reader = true;             /* so is the reader */

#define DUE(n) (n != 0 && link_generation[n] < generation[parent[n]])

/* What the writer can open: a key opens the links under it and under all earlier generations.
   A parent has a smaller number than its children. */
inline learn() {
    d_step {
        if
        :: member -> known[0] = generation[0]
        :: else -> skip
        fi;
        n = 1;
        do
        :: n < nodes ->
            if
            :: known[parent[n]] >= link_generation[n] -> known[n] = generation[n]
            :: else -> skip
            fi;
            n++
        :: else -> break
        od;
        n = 0
    }
}

/* What the server demands of the commit that renews a node. */
#define RENEWABLE(n) (generation[n] < MAX_GENERATION && depth[n] <= MAX_DEPTH)

inline renew(n) {
    generation[n]++;
    link_generation[n] = generation[parent[n]]
}

inline strike_out() {
    /* Only the owner can take a new key for node 0, because that needs a new member list. */
    assert(generation[0] < MAX_GENERATION);
    generation[0]++;
#ifdef NO_SMALL
    assert(!garbage[1] && RENEWABLE(1));
    renew(1);
#endif
}

proctype hostile_writer() {
    byte n, t;
    do
    :: atomic {     /* add a folder in any folder */
        member && nodes < NODES ->
        select(t : 0 .. nodes - 1);
        if
#ifdef NO_DEPTH
        :: true ->
#else
        :: depth[t] < MAX_DEPTH ->
#endif
            parent[nodes] = t;
            depth[nodes] = depth[t] + 1;
            generation[nodes] = 1;
            link_generation[nodes] = generation[t];
            known[nodes] = 1;
            nodes++
        :: else -> skip
        fi;
        t = 0
       }
    :: atomic {     /* sign garbage as the next manifest of any entry */
        member ->
        select(t : 1 .. nodes - 1);
        garbage[t] = true;
        t = 0
       }
    :: atomic {     /* renew the key of any node: his own key, which he keeps */
        member ->
        select(t : 1 .. nodes - 1);
        if
#ifdef NO_DUE
        :: RENEWABLE(t) ->
#else
        :: DUE(t) && RENEWABLE(t) ->
#endif
            renew(t);
            known[t] = generation[t];
            learn()
        :: else -> skip
        fi;
        t = 0
       }
    :: !member -> break
    od
}

proctype owner() {
    byte n, t, at, step;
    bool clean;
    do
    :: atomic { member -> strike_out(); member = false; learn() }
    :: atomic { reader -> strike_out(); reader = false; learn() }
    :: atomic {     /* the owner, or another honest member, seals something in any folder */
        select(t : 0 .. nodes - 1);
        at = t;
        clean = true;
        do
        :: at != 0 -> clean = clean && !garbage[at]; at = parent[at]
        :: else -> break
        od;
        if
        :: clean ->
            /* Renew what is due on the way, from the top down. */
            step = 0;
            do
            :: step < depth[t] ->
                step++;
                at = t;
                do
                :: depth[at] > step -> at = parent[at]
                :: else -> break
                od;
                if
#ifdef NO_WAY
                :: DUE(at) && at == t ->
#else
                :: DUE(at) ->
#endif
                    assert(RENEWABLE(at));
                    renew(at)
                :: else -> skip
                fi
            :: else -> break
            od;
            learn();
            assert(member || known[t] < generation[t]);
#ifdef REACH
            assert(member || depth[t] < MAX_DEPTH)
#endif
        :: else -> skip         /* the client shows the bad entry and its author, and exits 7 */
        fi;
        t = 0; at = 0; step = 0; clean = false
       }
    od
}

init {
    atomic {
        generation[0] = 1;
        known[0] = 1;
        depth[1] = 1;
        generation[1] = 1;
        link_generation[1] = 1;
        known[1] = 1;
        run hostile_writer();
        run owner()
    }
}
