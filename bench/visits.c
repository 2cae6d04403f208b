/* What a connection costs on this machine: a client that connects, exchanges two messages of 64 bytes and closes, again and
   again, with a server in another process that accepts one after the other; both block. Prints visits a second as JSON.

   usage: visits COUNT */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, MESSAGES = 2, WAITING = 16, MOST_VISITS = 1000000 };

static struct sockaddr_in address;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void send_at_once(int sock) {
    int on = 1;
    if (setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) fail("TCP_NODELAY");
}

static void serve(int listener) {
    char data[SIZE];
    for (;;) {
        int sock = accept(listener, NULL, NULL);
        if (sock < 0) fail("accept");
        send_at_once(sock);
        while (recv(sock, data, SIZE, MSG_WAITALL) == SIZE)
            if (send(sock, data, SIZE, MSG_NOSIGNAL) != SIZE) break;
        close(sock);
    }
}

static void visit(long number) {
    char request[SIZE], reply[SIZE];
    int sock = socket(AF_INET, SOCK_STREAM, 0);
    if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
    send_at_once(sock);
    for (int message = 0; message < MESSAGES; message++) {
        memset(request, (int)((number + message) & 0x7f), SIZE);
        if (send(sock, request, SIZE, MSG_NOSIGNAL) != SIZE || recv(sock, reply, SIZE, MSG_WAITALL) != SIZE) fail("exchange");
        if (memcmp(request, reply, SIZE) != 0) {
            fprintf(stderr, "a wrong reply\n");
            exit(1);
        }
    }
    close(sock);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

int main(int count, char **arguments) {
    long visits = count == 2 ? atol(arguments[1]) : 0;
    if (visits < 1 || visits > MOST_VISITS) {
        fprintf(stderr, "usage: visits COUNT (1 to %d)\n", MOST_VISITS);
        return 2;
    }
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0) fail("bind");
    if (listen(listener, WAITING) != 0 || getsockname(listener, (struct sockaddr *)&address, &size) != 0) fail("listen");
    pid_t server = fork();
    if (server < 0) fail("fork");
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(listener);
    }
    for (long number = 0; number < visits / 10 + 1; number++) visit(number); /* to warm up */
    double began = now();
    for (long number = 0; number < visits; number++) visit(number);
    printf("{\"visits_per_second\": %.0f}\n", (double)visits / (now() - began));
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return 0;
}
