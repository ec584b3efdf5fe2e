/* SPDX-License-Identifier: MIT */
/*
 * Two producers and a consumer, one of which is killed between any two accesses; a consumer is followed
 * by another: cells/channel/df_queue, access by access. Producer 0 pushes items 1 and 2 and drops item 1 at any
 * time after that, producer 1 pushes item 3. A producer that dies drops all its items.
 *
 * Claims: each item is handled, or was dropped before; its producer is told of the end of it; none is
 * handled after its end, or touched after it is freed; those of one producer are handled in order;
 * what was dropped is freed, unless the consumer is killed between the last two stores of a completion, or the
 * producer between the stores that make an item ready and the one that lets it into the queue.
 */
#define ITEMS 3
#define IDLE      0
#define QUEUED    1
#define TAKEN     2
#define COMPLETED 3
#define LOST      4

byte incoming, batch, first;
byte older[ITEMS + 1], newer[ITEMS + 1], state[ITEMS + 1];
bool linked[ITEMS + 1], gone[ITEMS + 1], freed[ITEMS + 1];
byte handled[ITEMS + 1];
bool ended[2], consumer_ended;
bool killed;     /* the consumer */
bool stopped[2]; /* a producer; it has `died` if it was not done yet */
bool died[2];
bool entered[ITEMS + 1];
bool leaving[ITEMS + 1]; /* unlinked, not yet let go */

#define ALIVE(item) assert(!freed[item])

inline push(item)
{
    atomic { state[item] = QUEUED; linked[item] = true };
    head = incoming;
    do
    :: older[item] = head;
        atomic {
            if
            :: incoming == head -> incoming = item; entered[item] = true; pushed = true
            :: else -> head = incoming; pushed = false
            fi
        };
        if :: pushed -> break :: !pushed fi
    od
}

inline drop_item(item)
{
    atomic {
        ALIVE(item);
        gone[item] = true;
#ifdef MUTANT_FREES_WHAT_IS_LINKED
        freed[item] = true
#else
        if :: !linked[item] -> freed[item] = true :: else fi
#endif
    }
}

proctype producer(byte me)
{
    byte head;
    bool pushed;
    {
        if
        :: me == 0 -> push(1); push(2); drop_item(1)
        :: me == 1 -> push(3)
        fi
    } unless { stopped[me] };
    if
    :: stopped[me] && me == 0 ->
        died[0] = true;
        if :: !gone[1] -> drop_item(1) :: else fi;
        drop_item(2)
    :: stopped[me] && me == 1 ->
        died[1] = true;
        drop_item(3)
    :: else
    fi;
    ended[me] = true
}

/* Is the batch still what `incoming` leads to? */
inline find_batch()
{
    atomic {
        item = seen;
        do
        :: item != 0 && item != batch -> ALIVE(item); item = older[item]
        :: else -> break
        od
    }
}

inline take_batch()
{
    seen = incoming;
    find_batch();
    if
    :: batch != 0 && item != batch /* taken already */
    :: else ->
#ifdef MUTANT_TAKEN_BEFORE_IT_IS_NOTED
        atomic { seen = incoming; incoming = 0 };
        batch = seen
#else
        do
        :: batch = seen;
            atomic {
                if
                :: incoming == seen -> incoming = 0; item = 1
                :: else -> seen = incoming; item = 0
                fi
            };
            if :: item == 1 -> break :: item == 0 fi
        od
#endif
    fi
}

inline link_batch()
{
    item = batch;
    if
    :: item != 0 ->
        newer[item] = 0;
        do
        :: older[item] != 0 -> ALIVE(older[item]); newer[older[item]] = item; item = older[item]
        :: else -> break
        od;
        first = item
    :: else
    fi
}

inline finish_first(result)
{
    item = first;
    ALIVE(item);
#ifdef MUTANT_UNLINKED_BEFORE_ITS_END
    batch = 0;
    first = newer[item];
    state[item] = result;
#else
    state[item] = result;
    batch = 0;
    atomic { first = newer[item]; leaving[item] = true };
#endif
    atomic {
        ALIVE(item);
        linked[item] = false;
        leaving[item] = false;
#ifndef MUTANT_NOBODY_FREES
        if :: gone[item] -> freed[item] = true :: else fi
#endif
    }
}

inline handle_first()
{
    atomic {
        ALIVE(first);
        assert(state[first] == TAKEN);
        handled[first]++;
        assert(first != 1 || !handled[2]);
        assert(handled[first] <= 2)
    };
    finish_first(COMPLETED)
}

#define NOTHING_COMES (ended[0] && ended[1] && incoming == 0 && batch == 0 && first == 0)

inline consume()
{
    do
    :: NOTHING_COMES -> break
    :: first == 0 && (incoming != 0 || batch != 0) -> take_batch(); link_batch()
    :: first != 0 ->
        if
        :: atomic { state[first] == QUEUED && !gone[first] -> state[first] = TAKEN }; handle_first()
        :: state[first] == TAKEN -> handle_first()
        :: state[first] == COMPLETED -> finish_first(COMPLETED)
        :: state[first] == LOST -> finish_first(LOST)
        :: state[first] == QUEUED && gone[first] -> finish_first(LOST)
        fi
    od
}

proctype consumer()
{
    byte item, seen;
    { consume() } unless { killed };
    if
    :: killed -> item = 0; seen = 0; consume() /* the successor knows what is in the queue's memory */
    :: else
    fi;
    consumer_ended = true
}

/* An item of a producer that died: not lost if it came into the queue, and not leaked if it could be told. */
#define ENDED(item) \
    assert(!entered[item] || state[item] >= COMPLETED); \
    assert(freed[item] || leaving[item] || (linked[item] && !entered[item]))

init
{
    atomic { run producer(0); run producer(1); run consumer() };
    if :: killed = true :: stopped[0] = true :: stopped[1] = true :: skip fi;
    consumer_ended;
    atomic {
        if
        :: died[0] -> ENDED(1); ENDED(2)
        :: else ->
            assert(state[1] >= COMPLETED && state[2] == COMPLETED);
            assert(handled[2] && (handled[1] || state[1] == LOST));
            assert((freed[1] || leaving[1]) && !freed[2])
        fi;
        if
        :: died[1] -> ENDED(3)
        :: else -> assert(state[3] == COMPLETED && handled[3] && !freed[3])
        fi
    }
}
