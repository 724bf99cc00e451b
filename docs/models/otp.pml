/* One-time passwords: two server nodes on one database, and logins with any codes at once.

   A code is the number of its time step. The row of an account has the last step that was used.
   A login runs in one transaction: a conditional update of this row, which locks the row, then
   the new session, then the commit. A node may stop before the commit; the database then undoes
   the transaction.

   Properties: a step logs in at most once, and never after a later step.

   -DNO_CONDITION  a node reads the row, compares, and then writes it without a condition
   -DREACH         show that two different steps can both log in (an error is expected)         */

#ifndef LOGINS
#define LOGINS 3                /* at each node, at the same time */
#endif
#define STEPS 2

byte last;                      /* the row, as committed */
bool locked;                    /* a transaction has changed the row and is not yet committed */
byte accepted[STEPS + 1];       /* how many sessions each step has started */
byte latest;                    /* the latest step that has started a session */

proctype login() {
    byte code, row;
    bool matched;
    select(code : 1 .. STEPS);
#ifdef NO_CONDITION
    row = last;
    matched = (row < code);
    atomic { !locked -> locked = true }
#else
    /* UPDATE … SET last = :code WHERE … AND last < :code; it waits for another transaction that
       has changed the row, and then compares with what that transaction left. */
    atomic { !locked -> locked = true; row = last; matched = (row < code) }
#endif
    if
    :: matched ->
        if
        :: atomic {             /* the commit: the row and the session together */
            last = code;
            locked = false;
            accepted[code]++;
            assert(accepted[code] == 1);
            assert(latest < code);
            latest = code;
#ifdef REACH
            assert(accepted[1] + accepted[2] < 2)
#endif
           }
        :: locked = false       /* the node stops */
        fi
    :: else -> locked = false   /* refused */
    fi
}

init {
    byte started;
    atomic {
        do                      /* which node a login runs on makes no difference to the row */
        :: started < 2 * LOGINS -> run login(); started++
        :: else -> break
        od
    }
}
