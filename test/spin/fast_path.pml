/* SPDX-License-Identifier: MIT */
/*
 * A caller that calls twice, with or without a deadline, and a server: cells/channel/fast_path, access
 * by access. One of both is killed between any two.
 *
 * Claims: a call that succeeds has its own reply; the memory is not touched after it is freed; when a
 * task is not killed in the middle of its end's drop, the memory is freed exactly once; every run ends
 * with both tasks ended.
 */
#define CALLER 0
#define SERVER 1
#define READY     0
#define CALLED    1
#define WITHDRAWN 2
#define CALLS     2

byte turn = READY;
bool gone[2], left[2];
byte word;
bool permit[2], ended[2];
bool has_end[2] = true;
bool is_leaving[2]; /* its handle is empty, but it has not left */
byte freed;
byte victim;
bool killed;

#define ALIVE assert(freed == 0)

/* One atomic operation on the state: only if the turn is `from` and nobody is gone. */
inline step(from, to)
{
    atomic {
        ALIVE;
        if
        :: turn == from && !gone[0] && !gone[1] -> turn = to; done = true
        :: else -> done = false
        fi
    }
}

inline wake(task) { atomic { ALIVE; permit[task] = true } }

inline drop_end()
{
    atomic { ALIVE; gone[me] = true };
#ifndef MUTANT_SILENT_END
    wake(1 - me);
#endif
#ifdef MUTANT_FREED_BEFORE_HANDLE_IS_EMPTY
    atomic { left[me] = true; if :: left[1 - me] -> freed++ :: else fi };
    has_end[me] = false
#else
    atomic { has_end[me] = false; is_leaving[me] = true };
    atomic {
        ALIVE;
        left[me] = true;
        is_leaving[me] = false;
        if :: left[1 - me] -> freed++ :: else fi
    }
#endif
}

/* Until the caller's turn, or a reason not to wait. */
inline call(number)
{
    do
    :: atomic { turn == READY -> ALIVE }; break
    :: turn != READY && gone[SERVER] -> goto closed
    :: turn != READY && !gone[SERVER] -> atomic { permit[me] -> permit[me] = false }
    od;
    atomic { ALIVE; word = number };
    step(READY, CALLED);
    if :: !done -> goto closed :: else fi;
    wake(SERVER);
    do
    :: turn == READY -> atomic { ALIVE; assert(word == 10 + number) }; break
    :: turn != READY && gone[SERVER] -> goto closed
    :: turn != READY && !gone[SERVER] ->
        if
        :: atomic { permit[me] -> permit[me] = false }
        :: true -> /* its deadline */
            step(CALLED, WITHDRAWN);
            if
            :: done -> wake(SERVER); break
            :: !done && turn == READY -> assert(word == 10 + number); break
            :: !done && turn != READY -> goto closed
            fi
        fi
    od
}

proctype caller()
{
    byte me = CALLER;
    byte number = 1;
    bool done;
    {
        do
        :: number <= CALLS -> call(number); number++
        :: else -> break
        od;
closed: drop_end()
    } unless { killed && victim == me };
    if :: killed && victim == me && has_end[me] -> drop_end() :: else fi;
    ended[me] = true
}

proctype server()
{
    byte me = SERVER;
    byte request;
    bool done;
    {
        do
        :: atomic { turn == CALLED && !gone[CALLER] -> ALIVE; request = word };
#ifdef MUTANT_TURN_BEFORE_WORD
            step(CALLED, READY);
            atomic { ALIVE; word = 10 + request };
#else
            atomic { ALIVE; word = 10 + request };
            step(CALLED, READY);
#endif
            if :: done -> wake(CALLER) :: else fi
        :: gone[CALLER] -> break
#ifndef MUTANT_WITHDRAWN_IS_FORGOTTEN
        :: turn == WITHDRAWN && !gone[CALLER] ->
            step(WITHDRAWN, READY);
            if :: done -> wake(CALLER) :: else fi
#endif
        :: turn != CALLED && turn != WITHDRAWN && !gone[CALLER] && permit[me] -> permit[me] = false
#ifdef MUTANT_WITHDRAWN_IS_FORGOTTEN
        :: turn == WITHDRAWN && !gone[CALLER] && permit[me] -> permit[me] = false
#endif
        od;
        drop_end()
    } unless { killed && victim == me };
    if :: killed && victim == me && has_end[me] -> drop_end() :: else fi;
    ended[me] = true
}

init
{
    atomic {
        if :: victim = CALLER :: victim = SERVER fi;
        run caller(); run server()
    };
    if :: killed = true :: skip fi;
    ended[CALLER] && ended[SERVER];
    assert(freed == 1 || is_leaving[CALLER] || is_leaving[SERVER])
}
