/* SPDX-License-Identifier: MIT */
/*
 * Two senders with an owned message each, two receivers: cells/channel/rendezvous, store by store. One
 * task, any, is killed between any two stores.
 *
 * Claims: each message is released exactly once; a sender whose call succeeded does not hold it, one
 * whose call failed does; every run ends with all tasks ended.
 */
#define TASKS 4 /* 0, 1: senders; 2, 3: receivers */
#define NOBODY TASKS

byte holder;
byte open_senders = 2, open_receivers = 2;
byte slot[TASKS];
bool linked[TASKS], taken[TASKS], permit[TASKS];
byte partner[TASKS] = NOBODY;
bool has_end[TASKS] = true;
bool ended[TASKS];
byte victim;
bool killed;
byte made[3], released[3];

#define LAST  (me < 2 -> open_receivers == 0 : open_senders == 0)
#define OTHER (me < 2 -> 2 : 0)
#define WAITS(task) (linked[task] && !taken[task])
#define FROM  (me < 2 -> me : partner[me])
#define TO    (me < 2 -> partner[me] : me)

inline lock() { atomic { holder == 0 -> holder = me + 1 } }
inline unlock() { holder = 0 }

inline release_slot()
{
    d_step {
        if
        :: slot[me] -> assert(released[slot[me]] == 0); released[slot[me]]++; slot[me] = 0
        :: else
        fi
    }
}

inline finish_transfer()
{
    permit[partner[me]] = true;
    partner[me] = NOBODY
}

inline transfer()
{
    if
    :: WAITS(OTHER) -> partner[me] = OTHER
    :: WAITS(OTHER + 1) -> partner[me] = OTHER + 1
    fi;
#ifdef MUTANT_MARK_BEFORE_COPY
    taken[partner[me]] = true;
    slot[TO] = slot[FROM];
#else
    slot[TO] = slot[FROM];
    taken[partner[me]] = true;
#endif
    slot[FROM] = 0;
    finish_transfer()
}

inline drop_end()
{
    lock();
    atomic {
        if :: me < 2 -> open_senders-- :: else -> open_receivers-- fi;
        has_end[me] = false;
        if
#ifndef MUTANT_SILENT_END
        :: linked[OTHER] -> permit[OTHER] = true
#endif
        :: else
        fi;
        if
#ifndef MUTANT_SILENT_END
        :: linked[OTHER + 1] -> permit[OTHER + 1] = true
#endif
        :: else
        fi
    };
    unlock()
}

inline unwind()
{
    if :: holder == me + 1 :: else -> lock() fi;
    if
#ifndef MUTANT_IS_NOT_SETTLED
    :: partner[me] != NOBODY && taken[partner[me]] -> slot[FROM] = 0; finish_transfer()
    :: partner[me] != NOBODY && !taken[partner[me]] -> slot[TO] = 0; partner[me] = NOBODY
#endif
#ifdef MUTANT_ALWAYS_UNDONE
    :: partner[me] != NOBODY -> slot[TO] = 0; partner[me] = NOBODY
#endif
    :: else
    fi;
#ifndef MUTANT_STAYS_LINKED
    linked[me] = false;
#endif
    unlock();
    release_slot();
    if :: has_end[me] -> drop_end() :: else fi
}

/* OK if taken[me], or if it transferred. */
inline meet()
{
    lock();
    if
    :: WAITS(OTHER) || WAITS(OTHER + 1) -> transfer(); ok = true
    :: else ->
        do
        :: taken[me] -> ok = true; break
        :: !taken[me] && LAST -> ok = false; break
        :: !taken[me] && !LAST ->
            linked[me] = true;
            unlock();
            atomic { permit[me] -> permit[me] = false };
            lock()
        od
    fi;
    atomic { linked[me] = false; taken[me] = false };
    unlock()
}

proctype task(byte me)
{
    bool ok;
    {
        do
        :: me < 2 ->
            d_step { slot[me] = me + 1; made[me + 1] = 1 };
            if
            :: victim == me -> meet()
            :: else -> atomic { meet() }
            fi;
            assert(ok == (slot[me] == 0));
            release_slot();
            break
        :: me >= 2 ->
            if
            :: victim == me -> meet()
            :: else -> atomic { meet() }
            fi;
            assert(ok == (slot[me] != 0));
            release_slot();
            if :: !ok -> break :: ok fi
        od;
        drop_end()
    } unless { killed && victim == me };
    if :: killed && victim == me -> atomic { unwind() } :: else fi;
    ended[me] = true
}

init
{
    atomic {
        if
        :: victim = 0
        :: victim = 1
        :: victim = 2
        :: victim = TASKS
        fi;
        run task(0); run task(1); run task(2); run task(3)
    };
    if
    :: killed = true
    :: skip
    fi;
    ended[0] && ended[1] && ended[2] && ended[3];
    assert(released[1] == made[1] && released[2] == made[2])
}
