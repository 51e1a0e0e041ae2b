/* The thread team. `turn` is one word: job number (32 bits), parts of the job (16), next unclaimed part (16). A claim is a
 * compare-and-swap of the whole word, so a helper that wakes late cannot take a part of a job it has not read: while a
 * part is unclaimed the job is not over, and its kernel and arguments stand.
 *
 * What a job costs beside its work is cache lines that wander between cores. So the first part is the caller's without a
 * claim; what is written when a job begins lies in one line, and what is written when parts end in another. */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_getcpu, sched_setaffinity */
#endif
#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LINE 64 /* bytes of a cache line */

#define SPINS_BEFORE_PARKING 20000 /* some tenths of a millisecond: longer than a loop of Python between two calls */
#define SPINS_WHILE_HELD 100000 /* a millisecond or two: longer than the steps between two ops that are shared */
#define SPINS_BEFORE_YIELDING 2000

struct fn_team {
    alignas(LINE) _Atomic uint64_t turn;
    _Atomic(fn_kernel) kernel;
    _Atomic(const void *) args;
    _Atomic int caller_cpu; /* where the last job came from */
    alignas(LINE) _Atomic uint32_t done; /* parts of all jobs; not set back, which would wait for another core's line */
    alignas(LINE) uint32_t due;          /* of them when the job is over */
    alignas(LINE) _Atomic int parked;
    _Atomic int stop, held, numbered; /* numbered: helpers that have begun */
    pthread_mutex_t one_job, parking;
    pthread_cond_t wake;
    int helpers;
    pthread_t thread[];
};

static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static pthread_key_t scratch_key;
static int no_scratch_key; /* a process has 1024 of them on Linux, and other libraries want some */

static void make_scratch_key(void) { no_scratch_key = pthread_key_create(&scratch_key, free) != 0; }

void *fn_scratch(void)
{
    pthread_once(&scratch_once, make_scratch_key);
    if (no_scratch_key) return NULL;
    void *scratch = pthread_getspecific(scratch_key);
    if (!scratch) {
        scratch = aligned_alloc(4096, FN_SCRATCH_BYTES);
        if (scratch && pthread_setspecific(scratch_key, scratch) != 0) {
            free(scratch);
            scratch = NULL;
        }
    }
    return scratch;
}

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Claims and runs parts of job `job` until none is left. */
static void work(fn_team *team, uint32_t job, void *scratch)
{
    uint64_t turn = atomic_load_explicit(&team->turn, memory_order_acquire);
    for (;;) {
        const fn_kernel kernel = atomic_load_explicit(&team->kernel, memory_order_relaxed);
        const void *args = atomic_load_explicit(&team->args, memory_order_relaxed);
        const int parts = (int)(turn >> 16 & 0xffff), index = (int)(turn & 0xffff);
        if ((uint32_t)(turn >> 32) != job || index >= parts) return;
        if (!atomic_compare_exchange_weak_explicit(&team->turn, &turn, turn + 1, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        const fn_part part = {.index = index, .count = parts, .scratch = scratch};
        kernel(args, &part);
        atomic_fetch_add_explicit(&team->done, 1, memory_order_release);
        turn = atomic_load_explicit(&team->turn, memory_order_acquire);
    }
}

#define SPINS_BETWEEN_LOOKS 256

/* Puts helper `number` on another processor than the caller's, if it shares that one: the system may leave both there for
 * a tenth of a second, in which two threads are slower than one. Afterwards it may again run wherever it might before. */
#if defined(__linux__)
static int here(void) { return sched_getcpu(); }

static void leave_callers_cpu(fn_team *team, int number)
{
    cpu_set_t allowed, one;
    const int cpu = here(), caller = atomic_load_explicit(&team->caller_cpu, memory_order_relaxed);
    if (cpu < 0 || cpu != caller || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    const int others = CPU_COUNT(&allowed) - 1;
    if (others < 1) return;
    int skip = number % others;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (i == caller || !CPU_ISSET(i, &allowed) || skip-- > 0) continue;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        if (sched_setaffinity(0, sizeof one, &one) == 0) sched_setaffinity(0, sizeof allowed, &allowed);
        return;
    }
}
#else
static int here(void) { return -1; }
static void leave_callers_cpu(fn_team *team, int number) { (void)team, (void)number; }
#endif

static uint32_t current_job(fn_team *team)
{
    return (uint32_t)(atomic_load_explicit(&team->turn, memory_order_acquire) >> 32);
}

static void *helper(void *argument)
{
    fn_team *team = argument;
    void *scratch = fn_scratch();
    uint32_t seen = 0;
    const int number = atomic_fetch_add(&team->numbered, 1);
    if (!scratch) return NULL;
    for (;;) {
        int spins = 0;
        leave_callers_cpu(team, number);
        while (current_job(team) == seen && !atomic_load_explicit(&team->stop, memory_order_relaxed)) {
            const int held = atomic_load_explicit(&team->held, memory_order_relaxed) > 0;
            if (++spins < (held ? SPINS_WHILE_HELD : SPINS_BEFORE_PARKING)) {
                pause_briefly();
                if (spins % SPINS_BETWEEN_LOOKS == 0) leave_callers_cpu(team, number);
                continue;
            }
            pthread_mutex_lock(&team->parking);
            atomic_fetch_add(&team->parked, 1);
            /* with the order of all that is not relaxed: either this sees the new job, or who began it has seen `parked` */
            while ((uint32_t)(atomic_load(&team->turn) >> 32) == seen && !atomic_load(&team->stop))
                pthread_cond_wait(&team->wake, &team->parking);
            atomic_fetch_sub(&team->parked, 1);
            pthread_mutex_unlock(&team->parking);
            leave_callers_cpu(team, number);
        }
        if (atomic_load(&team->stop)) return NULL;
        seen = current_job(team);
        work(team, seen, scratch);
    }
}

static void wake_parked(fn_team *team)
{
    if (atomic_load(&team->parked) == 0) return;
    pthread_mutex_lock(&team->parking);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->parking);
}

void fn_team_hold(fn_team *team, int more) { atomic_fetch_add(&team->held, more); }

/* What a process is sent is its own threads' to answer: where one has blocked a signal to wait for it, a helper that
 * has not would take it, and the process would end. What a thread does wrong itself it has to hear of. */
static void signals_of_helpers(sigset_t *blocked)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigfillset(blocked);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) sigdelset(blocked, own[i]);
}

fn_team *fn_team_new(int threads)
{
    sigset_t blocked, before;
    const size_t bytes = sizeof(fn_team) + sizeof(pthread_t) * (size_t)(threads - 1);
    fn_team *team = aligned_alloc(LINE, (bytes + LINE - 1) / LINE * LINE);
    if (!team) return NULL;
    memset(team, 0, bytes);
    atomic_store(&team->caller_cpu, here());
    pthread_mutex_init(&team->one_job, NULL);
    pthread_mutex_init(&team->parking, NULL);
    pthread_cond_init(&team->wake, NULL);
    signals_of_helpers(&blocked);
    pthread_sigmask(SIG_BLOCK, &blocked, &before); /* a thread begins with those that its maker has blocked */
    while (team->helpers < threads - 1 && pthread_create(&team->thread[team->helpers], NULL, helper, team) == 0)
        team->helpers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (team->helpers == threads - 1) return team;
    fn_team_free(team);
    return NULL;
}

void fn_team_free(fn_team *team)
{
    if (!team) return;
    atomic_store(&team->stop, 1);
    pthread_mutex_lock(&team->parking);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->parking);
    for (int i = 0; i < team->helpers; i++) pthread_join(team->thread[i], NULL);
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->parking);
    pthread_mutex_destroy(&team->one_job);
    free(team);
}

void fn_team_run(fn_team *team, fn_kernel kernel, const void *args, int parts)
{
    void *scratch = fn_scratch();
    pthread_mutex_lock(&team->one_job);
    atomic_store_explicit(&team->kernel, kernel, memory_order_relaxed);
    atomic_store_explicit(&team->args, args, memory_order_relaxed);
    const uint32_t due = team->due += (uint32_t)parts - 1;
    atomic_store_explicit(&team->caller_cpu, here(), memory_order_relaxed);
    const uint32_t job = current_job(team) + 1;
    atomic_store(&team->turn, (uint64_t)job << 32 | (uint64_t)parts << 16 | 1);
    wake_parked(team);
    const fn_part first = {.count = parts, .scratch = scratch};
    kernel(args, &first);
    if (atomic_load_explicit(&team->done, memory_order_acquire) != due) work(team, job, scratch);
    for (int spins = 0; atomic_load_explicit(&team->done, memory_order_acquire) != due;) {
        pause_briefly();
        if (++spins >= SPINS_BEFORE_YIELDING) {
            sched_yield();
            spins = 0;
        }
    }
    pthread_mutex_unlock(&team->one_job);
}
