/* SPDX-License-Identifier: MIT */
/*
 * Two senders with owned messages, two receivers, a ring: cells/channel/async_channel, store by
 * store. One task, any, is killed between any two stores.
 *
 * The second receiver may go at any time; so when the first is killed, messages may be left. Claims: each message that was made is released exactly once, by a receiver or by who was left with
 * it; those of one sender arrive in order; every run ends with all tasks ended. (Runs are finite: a
 * task that waits is blocked here, so the absence of deadlocks is progress.)
 */
#ifndef CAPACITY
#define CAPACITY 1
#endif
#ifndef FIRST_SENDS
#define FIRST_SENDS 1 /* 2: sender 0 sends both messages, sender 1 none */
#endif
#define TASKS    4 /* 0, 1: senders; 2, 3: receivers */
#define MESSAGES 3 /* 1 and 2 are of sender 0, 3 is of sender 1 */

byte ring[2];
byte sent, received;
byte holder;          /* of the lock: task + 1 */
byte open_senders = 2, open_receivers = 2;
bool closing;
byte slot[TASKS];     /* the message that a task holds */
bool noted[TASKS];    /* operation->slot */
byte position[TASKS]; /* operation->position */
bool linked[TASKS], woken[TASKS], permit[TASKS];
bool has_end[TASKS] = true;
bool releasing[TASKS]; /* operation->end */
byte count[TASKS];
byte victim;          /* TASKS: nobody */
bool killed, ended[TASKS];
byte made[MESSAGES + 1], released[MESSAGES + 1];
byte latest[TASKS];

#define IS_CLOSED (open_receivers == 0 || closing)

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

inline mark(task)
{
#ifdef MUTANT_MARK_BEFORE_WAKING
    woken[task] = true; permit[task] = true
#else
    permit[task] = true; woken[task] = true
#endif
}

/* Any that waits without a mark: the list has an order, the claims do not need it. */
inline wake(first)
{
    if
    :: linked[first] && !woken[first] -> mark(first)
    :: linked[first + 1] && !woken[first + 1] -> mark(first + 1)
    :: else
    fi
}

inline wake_all(first)
{
    if :: linked[first] -> mark(first) :: else fi;
    if :: linked[first + 1] -> mark(first + 1) :: else fi
}

inline wait()
{
    d_step { woken[me] = false; linked[me] = true };
    unlock();
    atomic { permit[me] -> permit[me] = false };
    lock()
}

inline put_message()
{
    d_step { position[me] = sent + 1; noted[me] = true };
#ifdef MUTANT_EMPTY_BEFORE_COMMIT
    ring[sent % 2] = slot[me]; slot[me] = 0; sent++;
#else
    ring[sent % 2] = slot[me]; sent++; slot[me] = 0;
#endif
    d_step { noted[me] = false; position[me] = 0 } /* stale values would only be more states */
}

inline take_message()
{
    d_step { position[me] = received + 1; noted[me] = true };
#ifdef MUTANT_COMMIT_BEFORE_TAKING
    received++; slot[me] = ring[(received - 1) % 2];
#else
    slot[me] = ring[received % 2]; received++;
#endif
    d_step { noted[me] = false; position[me] = 0 } /* stale values would only be more states */
}

/* finish_release() of channel.c; may be begun again. */
inline finish_release()
{
    if
    :: me < 2 -> open_senders = count[me]
    :: else -> open_receivers = count[me]
    fi;
    if
#ifndef MUTANT_SILENT_END
    :: count[me] == 0 && me < 2 -> wake_all(2)
    :: count[me] == 0 && me >= 2 -> wake_all(0)
#endif
    :: else
    fi;
    has_end[me] = false;
    d_step { releasing[me] = false; count[me] = 0 }
}

inline drop_end()
{
    lock();
    if
    :: me >= 2 && open_receivers == 1 ->
        closing = true;
        wake_all(0);
#ifndef MUTANT_REST_IS_FORGOTTEN
        do
        :: sent != received -> take_message(); unlock(); release_slot(); lock()
        :: else -> break
        od
#endif
    :: else
    fi;
    if
    :: me < 2 -> count[me] = open_senders - 1
    :: else -> count[me] = open_receivers - 1
    fi;
    releasing[me] = true;
    finish_release();
    unlock()
}

/* channel_operation_drop(), then the older slots of the task. */
inline unwind()
{
    if
    :: holder == me + 1
    :: else -> lock()
    fi;
    if
#ifndef MUTANT_SENDER_IS_NOT_SETTLED
    :: noted[me] && me < 2 && sent == position[me] -> slot[me] = 0
#endif
#ifndef MUTANT_RECEIVER_IS_NOT_SETTLED
    :: noted[me] && me >= 2 && received != position[me] -> slot[me] = 0
#endif
    :: else
    fi;
    d_step { noted[me] = false; position[me] = 0 };
    if :: releasing[me] -> finish_release() :: else fi;
    d_step { linked[me] = false; woken[me] = false };
#ifndef MUTANT_WAKE_IS_NOT_PASSED_ON
    if
    :: IS_CLOSED -> wake_all(0)
    :: !IS_CLOSED && sent - received < CAPACITY -> wake(0)
    :: else
    fi;
    if
    :: open_senders == 0 -> wake_all(2)
    :: open_senders != 0 && sent != received -> wake(2)
    :: else
    fi;
#endif
    unlock();
    release_slot();
    if :: has_end[me] -> drop_end() :: else fi
}

inline note_order()
{
    d_step {
        assert(slot[me] != 1 || latest[me] != 2);
        if :: slot[me] && slot[me] < 3 -> latest[me] = slot[me] :: else fi
    }
}

inline make() { d_step { made[message] = 1; slot[me] = message } }

inline send()
{
    lock();
    do
    :: IS_CLOSED || sent - received < CAPACITY -> break
    :: else -> wait()
    od;
    if
    :: IS_CLOSED
    :: else -> put_message(); wake(2)
    fi;
    d_step { linked[me] = false; woken[me] = false };
    unlock();
    release_slot() /* if it was refused */
}

inline receive()
{
    lock();
    do
    :: sent != received || open_senders == 0 -> break
    :: else -> wait()
    od;
    if
    :: sent != received -> take_message(); wake(0)
    :: else -> closed = true
    fi;
    d_step { linked[me] = false; woken[me] = false };
    unlock();
    note_order();
    release_slot()
}

/* What the lock protects is seen by nobody else meanwhile: only who may be killed needs every step. */
proctype sender(byte me; byte message; byte last)
{
    {
        do
        :: message <= last && victim == me -> make(); send(); message++
        :: message <= last && victim != me -> atomic { make(); send(); message++ }
        :: else -> break
        od;
        if
        :: victim == me -> drop_end()
        :: else -> atomic { drop_end() }
        fi
    } unless { killed && victim == me };
    if :: killed && victim == me -> atomic { unwind() } :: else fi;
    ended[me] = true
}

proctype receiver(byte me)
{
    bool closed = false;
    {
        do
        :: !closed && victim == me -> receive()
        :: !closed && victim != me -> atomic { receive() }
        :: !closed && me == 3 -> closed = true /* goes early */
        :: else -> break
        od;
        if
        :: victim == me -> drop_end()
        :: else -> atomic { drop_end() }
        fi
    } unless { killed && victim == me };
    if :: killed && victim == me -> atomic { unwind() } :: else fi;
    ended[me] = true
}

init
{
    atomic {
        if
        :: victim = 0 /* 1 is the same, or sends nothing */
        :: victim = 2 /* 3 is the same, or goes early */
        :: victim = TASKS
        fi;
        run sender(0, 1, FIRST_SENDS);
        run sender(1, 3, (FIRST_SENDS == 2 -> 2 : 3));
        run receiver(2);
        run receiver(3)
    };
    if
    :: killed = true
    :: skip
    fi;
    ended[0] && ended[1] && ended[2] && ended[3];
    d_step {
        assert(open_senders == 0 && open_receivers == 0);
        assert(released[1] == made[1] && released[2] == made[2] && released[3] == made[3])
    }
}
