/* What this machine does with many clients: THREADS threads of one process, each with a TCP connection to another process,
   ping-pong 64 bytes for SECONDS; each thread blocks in recv, the server waits in epoll. Prints exchanges a second as JSON.

   usage: crowd THREADS SECONDS */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, MOST_THREADS = 256, EVENTS = 64 };

static volatile int stop;
static struct sockaddr_in address;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void send_at_once(int sock) {
    int on = 1;
    if (setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) fail("TCP_NODELAY");
}

static void *client(void *result) {
    char request[SIZE], reply[SIZE];
    long count = 0;
    int sock = socket(AF_INET, SOCK_STREAM, 0);
    if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
    send_at_once(sock);
    while (!stop) {
        memset(request, (int)(count & 0x7f), SIZE);
        if (send(sock, request, SIZE, 0) != SIZE || recv(sock, reply, SIZE, MSG_WAITALL) != SIZE) fail("exchange");
        if (memcmp(request, reply, SIZE) != 0) {
            fprintf(stderr, "a wrong reply\n");
            exit(1);
        }
        count++;
    }
    *(long *)result = count;
    close(sock);
    return NULL;
}

static void serve(int listener) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    char data[SIZE];
    int epoll = epoll_create1(0);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) fail("epoll");
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int index = 0; index < ready; index++) {
            int sock = events[index].data.fd;
            if (sock == listener) {
                event.data.fd = accept(listener, NULL, NULL);
                if (event.data.fd < 0) fail("accept");
                send_at_once(event.data.fd);
                epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
                continue;
            }
            ssize_t size = recv(sock, data, SIZE, MSG_DONTWAIT);
            if (size <= 0 || send(sock, data, (size_t)size, 0) != size) close(sock);
        }
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

int main(int count, char **arguments) {
    int threads = count == 3 ? atoi(arguments[1]) : 0, seconds = count == 3 ? atoi(arguments[2]) : 0;
    if (threads < 1 || threads > MOST_THREADS || seconds < 1 || seconds > 60) {
        fprintf(stderr, "usage: crowd THREADS (1 to %d) SECONDS (1 to 60)\n", MOST_THREADS);
        return 2;
    }
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0) fail("bind");
    if (listen(listener, MOST_THREADS) != 0) fail("listen");
    if (getsockname(listener, (struct sockaddr *)&address, &size) != 0) fail("getsockname");
    pid_t server = fork();
    if (server < 0) fail("fork");
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(listener);
    }
    pthread_t running[MOST_THREADS];
    long counts[MOST_THREADS] = {0}, total = 0;
    double began = now();
    for (int index = 0; index < threads; index++) {
        if (pthread_create(&running[index], NULL, client, &counts[index]) != 0) fail("thread");
    }
    sleep((unsigned)seconds);
    stop = 1;
    for (int index = 0; index < threads; index++) pthread_join(running[index], NULL);
    double elapsed = now() - began;
    for (int index = 0; index < threads; index++) total += counts[index];
    printf("{\"exchanges_per_second\": %.0f}\n", (double)total / elapsed);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return 0;
}
