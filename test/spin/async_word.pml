/* SPDX-License-Identifier: MIT */
/*
 * Words past the ring: cells/channel/async_channel, store by store. Two senders, two receivers. A
 * sender that finds a receiver waiting and the ring empty puts its word into that one's record,
 * wakes it, and takes it off the list, which is the commit (serve_receiver); who finds itself off
 * the list has the word and takes no lock (wait_to_be_served). One task, any, is killed between any
 * two stores; one receiver may stop waiting at any time, as with a deadline.
 *
 * Claims: a word is taken at most once, and is there for others unless who was killed had received
 * it; those that go on get all that was sent; nobody writes to a record that is gone; every run ends
 * with all tasks ended.
 */
#define TASKS    4 /* 0, 1: senders; 2, 3: receivers */
#define NOBODY   TASKS
#define CAPACITY 1

byte ring, sent, received;
byte holder;                      /* of the lock: task + 1 */
byte open_senders = 2, open_receivers = 2;
byte first = NOBODY, last = NOBODY;       /* of the receivers that wait */
byte next[TASKS] = NOBODY, previous[TASKS] = NOBODY;
bool linked[TASKS];               /* operation->queue */
bool woken[TASKS], permit[TASKS];
bool waits_for_room[2], room_permit[2];
bool has_record[TASKS];           /* it is on the task's stack */
byte word[TASKS];                 /* of the record */
byte taken[3];                    /* how often word 1, word 2 was received */
bool is_sent[3];                  /* it has been committed */
bool ended[TASKS];
byte victim;
bool killed;
byte late = NOBODY;               /* a receiver with a deadline */

inline lock() { atomic { holder == 0 -> holder = me + 1 } }
inline unlock() { holder = 0 }
inline take(what) { d_step { assert(what == 1 || what == 2); taken[what]++; assert(taken[what] == 1) } }

inline link()
{
    previous[me] = last; next[me] = NOBODY; woken[me] = false;
    linked[me] = true;
    if :: previous[me] != NOBODY -> next[previous[me]] = me :: else -> first = me fi;
    last = me
}

/* channel_unlink(): right for a record that is half linked. */
inline unlink()
{
    if
    :: previous[me] != NOBODY -> next[previous[me]] = next[me]
    :: else -> first = next[me]
    fi;
    if
    :: next[me] != NOBODY -> previous[next[me]] = previous[me]
    :: else -> last = previous[me]
    fi;
    linked[me] = false
}

/* channel_wake(): the oldest without a mark. */
inline wake_receiver()
{
    if
    :: first != NOBODY && !woken[first] -> permit[first] = true; woken[first] = true
    :: first != NOBODY && woken[first] && next[first] != NOBODY && !woken[next[first]] ->
        permit[next[first]] = true; woken[next[first]] = true
    :: else
    fi
}

inline wake_all_receivers()
{
    d_step {
        if :: linked[2] -> permit[2] = true; woken[2] = true :: else fi;
        if :: linked[3] -> permit[3] = true; woken[3] = true :: else fi
    }
}

inline wake_senders()
{
    d_step {
        if :: waits_for_room[0] -> room_permit[0] = true :: else fi;
        if :: waits_for_room[1] -> room_permit[1] = true :: else fi
    }
}

/* commit_three(): against faults and kills one step, to other CPUs stores in order. Its owner looks at `linked`
 * alone, without the lock, so that comes last. */
inline serve(what)
{
    atomic { served = first; assert(has_record[served]); word[served] = what };
#ifdef MUTANT_SERVED_BEFORE_WAKING
    atomic {
        first = next[served];
        if :: first != NOBODY -> previous[first] = NOBODY :: else -> last = NOBODY fi;
        linked[served] = false; is_sent[what] = true
    };
    assert(has_record[served]);
    permit[served] = true
#else
    permit[served] = true;
    #ifdef MUTANT_OFF_THE_LIST_FIRST
    linked[served] = false;
    assert(has_record[served]);
    atomic {
        first = next[served];
        if :: first != NOBODY -> previous[first] = NOBODY :: else -> last = NOBODY fi;
        is_sent[what] = true
    }
    #else
    atomic {
        assert(has_record[served]);
        first = next[served];
        if :: first != NOBODY -> previous[first] = NOBODY :: else -> last = NOBODY fi;
        linked[served] = false; is_sent[what] = true
    }
    #endif
#endif
}

inline pass_on()
{
    if :: sent - received < CAPACITY -> wake_senders() :: else fi;
    if
    :: open_senders == 0 -> wake_all_receivers()
    :: open_senders != 0 && sent != received -> wake_receiver()
    :: else
    fi
}

/* How ends go is in async_channel.pml: here it is one step. */
inline close_sender()
{
    atomic { open_senders--; is_done = true };
    if :: open_senders == 0 -> wake_all_receivers() :: else fi
}

inline send()
{
    lock();
    do
    :: open_receivers == 0 -> break
    :: open_receivers != 0 && first != NOBODY && sent == received -> serve(message); break
    :: open_receivers != 0 && !(first != NOBODY && sent == received) && sent - received < CAPACITY ->
        ring = message;
        atomic { sent++; is_sent[message] = true };
        wake_receiver();
        break
    :: open_receivers != 0 && !(first != NOBODY && sent == received) && sent - received >= CAPACITY ->
        waits_for_room[me] = true;
        unlock();
        atomic { room_permit[me] || open_receivers == 0 -> room_permit[me] = false };
        lock();
        waits_for_room[me] = false
    od;
    unlock();
    lock(); close_sender(); unlock()
}

/* What the lock protects is seen by nobody else meanwhile: only who may be killed needs every step. Where an atomic
 * sequence waits it is left, and so the look without the lock comes at every moment. */
proctype sender(byte me; byte message)
{
    byte served;
    bool is_done = false;
    {
        if
        :: victim == me || (victim == NOBODY && me == 0) -> send()
        :: else -> atomic { send() }
        fi
    } unless { killed && victim == me };
    if
    :: killed && victim == me ->
        if :: holder == me + 1 :: else -> lock() fi;
        waits_for_room[me] = false;
        pass_on();
        if :: !is_done -> close_sender() :: else fi;
        unlock()
    :: else
    fi;
    ended[me] = true
}

inline receive_all()
{
    do
    :: is_closed -> break
    :: else ->
        has_record[me] = true;
        lock();
        do
        :: sent != received ->
            got = ring;
            atomic { received++; take(got) };
            wake_senders();
            if :: linked[me] -> unlink() :: else fi;
            unlock();
            break
        :: sent == received && (open_senders == 0 || is_late) ->
            is_closed = true;
            if :: linked[me] -> unlink() :: else fi;
            unlock();
            break
        :: sent == received && open_senders != 0 && !is_late ->
            if :: linked[me] -> woken[me] = false :: else -> link() fi;
            unlock();
            if
            :: atomic { permit[me] -> permit[me] = false }
            :: late == me -> is_late = true
            fi;
            /* without the lock */
            if
            :: atomic { !linked[me] -> take(word[me]) }; break
            :: linked[me] ->
                lock();
                if
                :: !linked[me] -> unlock(); take(word[me]); break
                :: else
                fi
            fi
        od;
        has_record[me] = false
    od;
    lock();
    atomic { open_receivers--; is_done = true };
    if :: open_receivers == 0 -> wake_senders() :: else fi;
    unlock()
}

proctype receiver(byte me)
{
    bool is_closed = false;
    bool is_done = false;
    bool is_late = false;
    byte got = 0;
    {
        if
        :: victim == me -> receive_all()
        :: else -> atomic { receive_all() }
        fi
    } unless { killed && victim == me };
    if
    :: killed && victim == me ->
        if :: holder == me + 1 :: else -> lock() fi;
#ifndef MUTANT_STAYS_ON_THE_LIST
        if :: linked[me] -> unlink() :: else fi;
#endif
        pass_on();
        if
        :: !is_done -> open_receivers--; if :: open_receivers == 0 -> wake_senders() :: else fi
        :: else
        fi;
        /* What was put into its record it has received. */
        has_record[me] = false;
        unlock()
    :: else
    fi;
    ended[me] = true
}

init
{
    atomic {
        if
        :: victim = 0
        :: victim = 2
        :: victim = NOBODY
        fi;
        if
        :: late = 3
        :: late = NOBODY
        fi;
        run sender(0, 1);
        run sender(1, 2);
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
        assert(first == NOBODY && last == NOBODY);
        /* Whoever goes on has all that was sent, but for what is still in the ring when no receiver is left, and
         * what the killed one had received. */
        assert(!is_sent[1] || taken[1] == 1 || (sent != received && ring == 1) || victim == 2 && killed);
        assert(!is_sent[2] || taken[2] == 1 || (sent != received && ring == 2) || victim == 2 && killed)
    }
}
