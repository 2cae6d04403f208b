/* The floor that this machine sets: bytes between two processes over a loopback socket, with nothing above the sockets.
 *
 *   yardsticks pingpong --transport tcp|unix --mode blocking|busy|spinning --size 64 --exchanges N [--pin CPU[,CPU]]
 *   yardsticks stream   --transport tcp|unix --memory warm|fresh --bytes TOTAL --chunk 67108864
 *
 * --pin keeps both processes on one CPU, or the server on the first and the client on the second; without it the system
 * places them, and a blocking exchange takes five times as long on two CPUs as on one. Prints one line of JSON; exits
 * with 1 when something failed and 2 when the arguments are wrong. Each message carries its number and each end checks
 * it, so the figures are of bytes that arrived. Knows nothing of fastpyro.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define WRITE_SIZE MIB         /* what the sender of a stream hands to one send() */
#define MAX_MESSAGE_SIZE MIB
#define MAX_EXCHANGES 10000000
#define MAX_CHUNK (1024 * MIB)
#define MAX_TOTAL (1024 * 1024 * MIB)
#define SPIN_NANOSECONDS 50000  /* no longer than the wake-up that it saves takes */
#define LONGEST_RUN_SECONDS 120 /* each process is ended by SIGALRM then, whatever it hangs in */

enum mode { BLOCKING, BUSY, SPINNING };

struct options {
    bool unix_socket;
    enum mode mode;
    size_t size;
    long exchanges;
    int cpus[2]; /* of the server and the client; -1: wherever the system puts them */
    bool fresh;
    size_t total;
    size_t chunk;
};

/* What the two processes leave for the parent, in memory that all three share. */
struct outcome {
    double median_us;
    double p99_us;
    double cpu_seconds[2];
    double bytes_per_second;
};

typedef void (*part)(int fd, const struct options *options, struct outcome *outcome);

static void fail(const char *what) {
    fprintf(stderr, "yardsticks: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void wrong_data(const char *what, uint64_t expected, uint64_t seen) {
    fprintf(stderr, "yardsticks: %s: expected message %" PRIu64 ", received %" PRIu64 "\n", what, expected, seen);
    exit(1);
}

static void usage(const char *what) {
    fprintf(stderr,
            "yardsticks: %s\n"
            "usage: yardsticks pingpong [--transport tcp|unix] [--mode blocking|busy|spinning] [--size 64]"
            " [--exchanges 3000] [--pin CPU[,CPU]]\n"
            "       yardsticks stream [--transport tcp|unix] [--memory warm|fresh] [--bytes 1073741824]"
            " [--chunk 67108864]\n",
            what);
    exit(2);
}

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double seconds_of(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec * 1e-6;
}

/* User and system time of the calling process. */
static double cpu_seconds(void) {
    struct rusage spent;
    if (getrusage(RUSAGE_SELF, &spent) < 0)
        fail("getrusage");
    return seconds_of(spent.ru_utime) + seconds_of(spent.ru_stime);
}

static void *map_memory(size_t size, int sharing) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail("mmap");
    return memory;
}

static void send_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            fail("send");
        data += sent;
        size -= (size_t)sent;
    }
}

/* One recv() that waits in the way that the mode says; returns the count of bytes, at least 1. */
static size_t receive_some(int fd, char *data, size_t size, enum mode mode) {
    uint64_t deadline = 0;
    int flags = mode == BLOCKING ? 0 : MSG_DONTWAIT;
    for (;;) {
        ssize_t received = recv(fd, data, size, flags);
        if (received > 0)
            return (size_t)received;
        if (received == 0) {
            errno = ECONNRESET;
            fail("recv: the other end has closed");
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            fail("recv");
        if (mode == BUSY)
            continue;
        sched_yield();
        uint64_t now = nanoseconds();
        if (deadline == 0)
            deadline = now + SPIN_NANOSECONDS;
        else if (now >= deadline)
            flags = 0;
    }
}

static void receive_all(int fd, char *data, size_t size, enum mode mode) {
    for (size_t filled = 0; filled < size;)
        filled += receive_some(fd, data + filled, size - filled, mode);
}

static void stamp(char *data, uint64_t number) {
    memcpy(data, &number, sizeof number);
}

static void check_stamp(const char *data, uint64_t expected, const char *what) {
    uint64_t seen;
    memcpy(&seen, data, sizeof seen);
    if (seen != expected)
        wrong_data(what, expected, seen);
}

static long warm_up_exchanges(const struct options *options) {
    return options->exchanges / 10 + 10;
}

/* Answers each message with itself. */
static void pingpong_server(int fd, const struct options *options, struct outcome *outcome) {
    char *message = map_memory(options->size, MAP_PRIVATE);
    long warm_up = warm_up_exchanges(options);
    double before = 0;
    for (long number = 0; number < warm_up + options->exchanges; number++) {
        if (number == warm_up)
            before = cpu_seconds();
        receive_all(fd, message, options->size, options->mode);
        check_stamp(message, (uint64_t)number, "the server of the ping-pong");
        send_all(fd, message, options->size);
    }
    outcome->cpu_seconds[0] = cpu_seconds() - before;
}

static int compare_samples(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void pingpong_client(int fd, const struct options *options, struct outcome *outcome) {
    size_t count = (size_t)options->exchanges;
    uint64_t *samples = map_memory(count * sizeof *samples, MAP_PRIVATE);
    char *message = map_memory(options->size, MAP_PRIVATE);
    memset(samples, 1, count * sizeof *samples); /* so that no page of it is new while the time runs */
    long warm_up = warm_up_exchanges(options);
    double before = 0;
    for (long number = 0; number < warm_up + options->exchanges; number++) {
        if (number == warm_up)
            before = cpu_seconds();
        stamp(message, (uint64_t)number);
        uint64_t start = nanoseconds();
        send_all(fd, message, options->size);
        stamp(message, UINT64_MAX);
        receive_all(fd, message, options->size, options->mode);
        uint64_t end = nanoseconds();
        check_stamp(message, (uint64_t)number, "the client of the ping-pong");
        if (number >= warm_up)
            samples[number - warm_up] = end - start;
    }
    outcome->cpu_seconds[1] = cpu_seconds() - before;
    qsort(samples, count, sizeof *samples, compare_samples);
    outcome->median_us = (double)(samples[(count - 1) / 2] + samples[count / 2]) / 2e3;
    outcome->p99_us = (double)samples[(count - 1) * 99 / 100] / 1e3;
}

/* One chunk to warm up and then the total, in numbered writes of 1 MiB. */
static void stream_sender(int fd, const struct options *options, struct outcome *outcome) {
    (void)outcome;
    char *data = map_memory(WRITE_SIZE, MAP_PRIVATE);
    memset(data, 'x', WRITE_SIZE);
    uint64_t writes = (options->chunk + options->total) / WRITE_SIZE;
    for (uint64_t number = 0; number < writes; number++) {
        stamp(data, number);
        send_all(fd, data, WRITE_SIZE);
    }
}

/* Fills a chunk from the socket and checks each write in it; returns the number of the next write. */
static uint64_t receive_chunk(int fd, char *memory, size_t chunk, uint64_t number) {
    receive_all(fd, memory, chunk, BLOCKING);
    for (size_t offset = 0; offset < chunk; offset += WRITE_SIZE, number++)
        check_stamp(memory + offset, number, "the receiver of the stream");
    return number;
}

static void stream_receiver(int fd, const struct options *options, struct outcome *outcome) {
    char *memory = map_memory(options->chunk, MAP_PRIVATE);
    uint64_t number = receive_chunk(fd, memory, options->chunk, 0);
    uint64_t start = nanoseconds();
    for (size_t received = 0; received < options->total; received += options->chunk) {
        if (options->fresh) {
            /* What malloc() does for this size, named so that no allocator hands out the old pages again. */
            munmap(memory, options->chunk);
            memory = map_memory(options->chunk, MAP_PRIVATE);
        }
        number = receive_chunk(fd, memory, options->chunk, number);
    }
    outcome->bytes_per_second = (double)options->total / ((double)(nanoseconds() - start) * 1e-9);
}

static void connect_tcp(int ends[2]) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) < 0)
        fail("listening on 127.0.0.1");
    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (ends[0] < 0 || connect(ends[0], (struct sockaddr *)&address, length) < 0)
        fail("connecting to 127.0.0.1");
    ends[1] = accept(listener, NULL, NULL);
    if (ends[1] < 0)
        fail("accept");
    close(listener);
    for (int end = 0; end < 2; end++)
        if (setsockopt(ends[end], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
            fail("TCP_NODELAY");
}

static void pin_to(int cpu) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET((unsigned)cpu, &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus) < 0)
        fail("pinning to the CPU of --pin");
}

/* Runs one part in a child that holds its end of the connection alone. */
static pid_t start_part(part work, int ends[2], int place, const struct options *options, struct outcome *outcome) {
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child > 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before prctl() */
        _exit(1);
    close(ends[1 - place]);
    alarm(LONGEST_RUN_SECONDS);
    if (options->cpus[place] >= 0)
        pin_to(options->cpus[place]);
    work(ends[place], options, outcome);
    exit(0);
}

/* Waits for both; when one fails, its end closes and the other fails too, or its alarm ends it. */
static void wait_for(const pid_t children[2]) {
    bool failed = false;
    for (int child = 0; child < 2; child++) {
        int status;
        while (waitpid(children[child], &status, 0) < 0)
            if (errno != EINTR)
                fail("waitpid");
        if (WIFSIGNALED(status))
            fprintf(stderr, "yardsticks: a process was ended by signal %d%s\n", WTERMSIG(status),
                    WTERMSIG(status) == SIGALRM ? ", for it took too long: ask for fewer exchanges or bytes" : "");
        failed |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    }
    if (failed)
        exit(1);
}

static struct outcome *run(part first, part second, const struct options *options) {
    struct outcome *outcome = map_memory(sizeof *outcome, MAP_SHARED);
    int ends[2];
    if (!options->unix_socket)
        connect_tcp(ends);
    else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        fail("socketpair");
    pid_t children[2];
    children[0] = start_part(first, ends, 0, options, outcome);
    children[1] = start_part(second, ends, 1, options, outcome);
    close(ends[0]);
    close(ends[1]);
    wait_for(children);
    return outcome;
}

static size_t number_of(const char *text, size_t least, size_t most, const char *name) {
    char *end, message[128];
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && number >= least && number <= most)
        return (size_t)number;
    snprintf(message, sizeof message, "%s takes a number from %zu to %zu", name, least, most);
    usage(message);
    return 0;
}

/* Returns the place of a word among `count` allowed ones. */
static int choice_of(const char *text, const char *const *allowed, int count, const char *name) {
    for (int place = 0; place < count; place++)
        if (strcmp(text, allowed[place]) == 0)
            return place;
    char message[128];
    snprintf(message, sizeof message, "%s does not take '%.32s'", name, text);
    usage(message);
    return 0;
}

static void read_cpus(struct options *options, const char *value) {
    char server[8] = "";
    const char *comma = strchr(value, ',');
    size_t length = comma != NULL ? (size_t)(comma - value) : strlen(value);
    if (length < sizeof server)
        memcpy(server, value, length);
    options->cpus[0] = (int)number_of(server, 0, CPU_SETSIZE - 1, "--pin");
    options->cpus[1] = comma != NULL ? (int)number_of(comma + 1, 0, CPU_SETSIZE - 1, "--pin") : options->cpus[0];
}

static void read_option(struct options *options, const char *name, const char *value) {
    static const char *const transports[] = {"tcp", "unix"};
    static const char *const modes[] = {"blocking", "busy", "spinning"};
    static const char *const memories[] = {"warm", "fresh"};
    if (strcmp(name, "--transport") == 0)
        options->unix_socket = choice_of(value, transports, 2, name) == 1;
    else if (strcmp(name, "--mode") == 0)
        options->mode = (enum mode)choice_of(value, modes, 3, name);
    else if (strcmp(name, "--memory") == 0)
        options->fresh = choice_of(value, memories, 2, name) == 1;
    else if (strcmp(name, "--size") == 0)
        options->size = number_of(value, sizeof(uint64_t), MAX_MESSAGE_SIZE, name);
    else if (strcmp(name, "--exchanges") == 0)
        options->exchanges = (long)number_of(value, 1, MAX_EXCHANGES, name);
    else if (strcmp(name, "--pin") == 0)
        read_cpus(options, value);
    else if (strcmp(name, "--bytes") == 0)
        options->total = number_of(value, MIB, MAX_TOTAL, name);
    else if (strcmp(name, "--chunk") == 0)
        options->chunk = number_of(value, MIB, MAX_CHUNK, name);
    else
        usage("unknown option");
}

int main(int count, char **arguments) {
    struct options options = {.size = 64, .exchanges = 3000, .cpus = {-1, -1}, .total = 1024 * MIB, .chunk = 64 * MIB};
    if (count < 2 || count % 2 != 0)
        usage("a command and pairs of option and value are needed");
    for (int place = 2; place < count; place += 2)
        read_option(&options, arguments[place], arguments[place + 1]);
    if (strcmp(arguments[1], "pingpong") == 0) {
        /* Two busy loops on one CPU: each would wait for the end of the other's time slice. */
        if (options.mode == BUSY && options.cpus[0] >= 0 && options.cpus[0] == options.cpus[1])
            usage("busy polling needs two CPUs: name two with --pin, or take the mode spinning");
        struct outcome *outcome = run(pingpong_server, pingpong_client, &options);
        double cpu = outcome->cpu_seconds[0] + outcome->cpu_seconds[1];
        printf("{\"median_us\": %.3f, \"p99_us\": %.3f, \"cpu_us\": %.3f, \"exchanges\": %ld}\n", outcome->median_us,
               outcome->p99_us, cpu * 1e6 / (double)options.exchanges, options.exchanges);
    } else if (strcmp(arguments[1], "stream") == 0) {
        if (options.chunk % WRITE_SIZE != 0 || options.total % options.chunk != 0)
            usage("--chunk must be a multiple of 1048576, and --bytes a multiple of --chunk");
        struct outcome *outcome = run(stream_sender, stream_receiver, &options);
        printf("{\"bytes_per_second\": %.0f}\n", outcome->bytes_per_second);
    } else {
        usage("the command is pingpong or stream");
    }
    return 0;
}
