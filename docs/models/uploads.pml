/* Uploads: one place of the blob store, two nodes that receive the same upload, two collectors.

   The first node has the place from its stock, so the row says that the place is deleted in a day.
   It may record a part: the place is then that of an upload, with an epoch. Another node may take
   this upload over, which raises the epoch. Each node may be frozen before any step, for any time,
   and its steps then go on. So a place may become due, and an upload stale, at any moment.

   Properties: what a row names as a blob is in the store, with every segment. Only the node that
   took an upload over last changes its row. A place that no row names any longer has no blob,
   unless a node was frozen before its first byte.

   -DNO_EPOCH      a node changes the row of an upload without comparing the epoch
   -DNO_CLAIM      a node records its blob without claiming the place
   -DNO_MARK       a collector deletes first and changes the row afterwards
   -DTRUNCATE      a node whose connection ends cuts the file at the end of what it received
   -DFINAL_FIRST   a collector deletes the final name first
   -DREACH         show that the second node can complete an upload (an error is expected)       */

#define SEGMENTS 2

mtype = { DOOMED, COLLECTED, UPLOAD, BLOB, FORGOTTEN };
mtype row = DOOMED;             /* which table names the place */
byte epoch;                     /* of the upload's row */
byte recorded;                  /* segments in the parts of this row */
byte holder;                    /* the node that recorded the upload or took it over last */

mtype = { NOWHERE, STAGED, FINAL, DELETED };
mtype file = NOWHERE;           /* the name of the file in the store */
bool has[SEGMENTS];             /* its content, for every descriptor that is open on it */
bool late;                      /* the file was created after its place was collected */

#define WHOLE (has[0] && has[1])

/* What the condition of a transaction on the row of an upload, or on a place in stock, leaves. */
#ifdef NO_EPOCH
#define MINE (e > 0 && row == UPLOAD)
#else
#define MINE (e > 0 && row == UPLOAD && epoch == e)
#endif
#ifdef NO_CLAIM
#define CLAIMED (e == 0)
#else
#define CLAIMED (e == 0 && row == DOOMED)
#endif

inline complete() {             /* renames; another node may have renamed the same file before */
    atomic {
        if
        :: file == STAGED -> file = FINAL
        :: file == FINAL
        :: else -> goto over
        fi
    };
    atomic {
        if
        :: MINE -> assert(holder == me); row = BLOB
        :: CLAIMED -> row = BLOB
        :: else
        fi;
#ifdef REACH
        assert(!(row == BLOB && e == 2))
#endif
    }
    /* A node that does not learn the outcome of its commit goes on like one that failed. */
}

inline unlink(name) {
    atomic {
        if
        :: file == name -> file = DELETED
        :: else
        fi
    }
}

inline discard() {
    if
    :: e == 0
    :: atomic { MINE -> assert(holder == me); row = DOOMED }
    :: !MINE && e > 0 -> goto over
    fi;
    unlink(STAGED)
}

proctype node(byte me) {
    byte mine, e, i;
    if
    :: me == 1 ->
        atomic { file = STAGED; late = (row == COLLECTED || row == FORGOTTEN) }
    :: else ->
        atomic { row == UPLOAD -> epoch++; e = epoch; mine = recorded; holder = me };
        atomic {
            if
            :: file == STAGED ->       /* only the parts that the file has */
                if
                :: mine > 0 && !has[0] -> mine = 0
                :: mine > 1 && !has[1] -> mine = 1
                :: else
                fi
            :: else -> mine = 0
            fi
        };
        if
        :: mine == 0 -> discard(); goto over
        :: else
        fi
    fi;
    do
    :: mine < SEGMENTS -> atomic { has[mine] = true; mine++ }
    :: mine > 0 ->                     /* record a part */
        atomic {
            if
            :: e == 0 && row == DOOMED ->
                row = UPLOAD; epoch = 1; recorded = mine; holder = me;
                if
                :: e = 1
                :: skip                /* the answer of the commit is lost */
                fi
            :: MINE -> assert(holder == me); recorded = mine
            :: else -> goto over
            fi
        }
    :: mine == SEGMENTS -> complete(); discard(); break
    :: discard(); break                /* the client gives up */
    :: atomic {                        /* the connection ends */
#ifdef TRUNCATE
        i = mine;
        do
        :: i < SEGMENTS -> has[i] = false; i++
        :: else -> break
        od;
#endif
        break
       }
    od;
over: skip
}

proctype collector() {
    do
#ifdef NO_MARK
    :: row == DOOMED
#else
    :: atomic { row == DOOMED -> row = COLLECTED }
#endif
#ifndef FINAL_FIRST
        unlink(STAGED);         /* first, because a node may rename the file in between */
        unlink(FINAL);
#else
        unlink(FINAL);
        unlink(STAGED);
#endif
        atomic {
            if
            :: row == COLLECTED || row == DOOMED -> row = FORGOTTEN   /* DOOMED: with NO_MARK */
            :: else
            fi
        }
    od
}

proctype others() {                    /* a stale upload; a file that its owner removes, once */
    do
    :: atomic { row == UPLOAD -> row = DOOMED }
    :: atomic { row == BLOB -> row = DOOMED; break }
    od
}

proctype monitor() {
    do
    :: atomic { row == BLOB -> assert(file == FINAL && WHOLE) }
#ifndef NO_MARK
    :: atomic { row == FORGOTTEN && !late -> assert(file != FINAL) }
#endif
    od
}

init {
    atomic {
        run node(1);
        run node(2);
        run collector();
        run collector();
        run others();
        run monitor()
    }
}
