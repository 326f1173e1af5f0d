/*
 * One side of a benchmark with usrsctp: usrsctp_bench server|client KIND PORT SIZE SECONDS COUNT MTU BUFFER
 *
 * It speaks to the runner as the peers in Python do (one JSON object a line) and does what their scenarios do.
 * Messages are received through the library's callback, its fastest interface. Of the C library's functions that it
 * calls, two are replaced: socket(), so that root gets no raw SCTP sockets beside UDP, and setsockopt(), so that the
 * UDP sockets have buffers as large as everybody's instead of 128 KiB.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <usrsctp.h>

#define SCTP_PORT 5001
#define END_SIZE 1 /* of the message after which the sink reports */
#define HEADERS 40 /* IPv4, UDP and SCTP: the library's path MTU is without them */

static bool is_server;
static const char *kind;
static int udp_port, count, mtu, buffer;
static size_t size;
static double seconds;

/* ------------------------------------------------------------------------------------------------ small things */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double cpu(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    _exit(1);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int socket(int domain, int type, int protocol)
{
    static int (*real)(int, int, int);
    if (!real)
        real = dlsym(RTLD_NEXT, "socket");
    if ((type & 0xf) == SOCK_RAW) {
        errno = EPERM;
        return -1;
    }
    return real(domain, type, protocol);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
    static int (*real)(int, int, int, const void *, socklen_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "setsockopt");
    if (level == SOL_SOCKET && (option == SO_RCVBUF || option == SO_SNDBUF))
        return real(fd, level, option, &buffer, sizeof buffer);
    return real(fd, level, option, value, length);
}

/* A UDP port that is free now: the library binds to a number and does not say if it can't. */
static int free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET };
    socklen_t length = sizeof a;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || getsockname(fd, (struct sockaddr *)&a, &length) < 0)
        fail("free port");
    close(fd);
    return ntohs(a.sin_port);
}

/* ------------------------------------------------------------------------------------------------------ links */

struct link {
    struct socket *socket;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned long long messages, bytes;
    size_t partial; /* of a message that comes in pieces */
    unsigned char last[16]; /* the message received last, if it is short */
    bool closed;
};

static struct link *new_link(void)
{
    struct link *link = calloc(1, sizeof *link);
    pthread_mutex_init(&link->lock, NULL);
    pthread_cond_init(&link->changed, NULL);
    return link;
}

static void send_message(struct socket *socket, const void *data, size_t length)
{
    struct sctp_sndinfo info = { 0 };
    while (usrsctp_sendv(socket, data, length, NULL, 0, &info, sizeof info, SCTP_SENDV_SNDINFO, 0) < 0)
        if (errno != EAGAIN && errno != EINTR)
            fail("send");
}

/* The server's answer to a whole message: its echo, or what the sink has got. */
static void answer(struct link *link, struct socket *socket, const void *data, size_t length)
{
    if (!strcmp(kind, "latency"))
        send_message(socket, data, length);
    else if (length == END_SIZE) {
        uint64_t report[2] = { htobe64(link->messages - 1), htobe64(link->bytes - END_SIZE) };
        send_message(socket, report, sizeof report);
    }
}

static int on_receive(struct socket *socket, union sctp_sockstore from, void *data, size_t length,
                      struct sctp_rcvinfo info, int flags, void *user)
{
    struct link *link = user;
    (void)from, (void)info;
    if (!data) { /* the association has ended */
        if (is_server)
            usrsctp_close(socket);
        else {
            pthread_mutex_lock(&link->lock);
            link->closed = true;
            pthread_cond_broadcast(&link->changed);
            pthread_mutex_unlock(&link->lock);
        }
        return 1;
    }
    if (!(flags & MSG_NOTIFICATION)) {
        if (!is_server) /* there nobody but the library's one thread looks at the link */
            pthread_mutex_lock(&link->lock);
        link->bytes += length;
        link->partial += length;
        if (flags & MSG_EOR) {
            link->messages++;
            if (length <= sizeof link->last)
                memcpy(link->last, data, length);
            if (is_server)
                answer(link, socket, data, link->partial);
            link->partial = 0;
        }
        if (!is_server) {
            pthread_cond_broadcast(&link->changed);
            pthread_mutex_unlock(&link->lock);
        }
    }
    free(data);
    return 1;
}

static struct socket *new_socket(struct link *link)
{
    struct socket *s = usrsctp_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP, on_receive, NULL, 0, link);
    int on = 1;
    struct sctp_udpencaps encapsulation = { .sue_port = htons(udp_port) };
    struct sctp_paddrparams path = { .spp_assoc_id = SCTP_FUTURE_ASSOC, .spp_flags = SPP_PMTUD_DISABLE,
                                     .spp_pathmtu = mtu - HEADERS };
    struct sockaddr_in local = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                 .sin_port = htons(is_server ? SCTP_PORT : 0) };
    if (!s)
        fail("socket");
    encapsulation.sue_address.ss_family = path.spp_address.ss_family = AF_INET;
    usrsctp_setsockopt(s, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    usrsctp_setsockopt(s, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof on) < 0
        || usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &path, sizeof path) < 0
        || (!is_server
            && usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT, &encapsulation, sizeof encapsulation) < 0)
        || usrsctp_bind(s, (struct sockaddr *)&local, sizeof local) < 0)
        fail("set up socket");
    return s;
}

static void open_link(struct link *link)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(SCTP_PORT) };
    link->closed = false;
    link->socket = new_socket(link);
    if (usrsctp_connect(link->socket, (struct sockaddr *)&a, sizeof a) < 0)
        fail("connect");
}

static void close_link(struct link *link)
{
    usrsctp_shutdown(link->socket, SHUT_WR);
    pthread_mutex_lock(&link->lock);
    while (!link->closed)
        pthread_cond_wait(&link->changed, &link->lock);
    pthread_mutex_unlock(&link->lock);
    usrsctp_close(link->socket);
}

static void wait_messages(struct link *link, unsigned long long messages)
{
    pthread_mutex_lock(&link->lock);
    while (link->messages < messages && !link->closed)
        pthread_cond_wait(&link->changed, &link->lock);
    pthread_mutex_unlock(&link->lock);
}

/* -------------------------------------------------------------------------------------------------- scenarios */

static void bulk(double cpu_start)
{
    struct link *link = new_link();
    unsigned char *message = calloc(1, size);
    unsigned long long sent = 0, burst = size < 65536 ? 65536 / size : 1;
    uint64_t report[2];
    open_link(link);
    double start = now();
    while (now() < start + seconds) {
        for (unsigned long long i = 0; i < burst; i++)
            send_message(link->socket, message, size);
        sent += burst;
    }
    send_message(link->socket, message, END_SIZE);
    wait_messages(link, 1);
    double spent = now() - start;
    memcpy(report, link->last, sizeof report);
    if (be64toh(report[0]) != sent || be64toh(report[1]) != sent * size) {
        fprintf(stderr, "sent %llu messages, %llu arrived\n", sent, (unsigned long long)be64toh(report[0]));
        _exit(1);
    }
    close_link(link);
    printf("{\"messages\": %llu, \"bytes\": %llu, \"seconds\": %.6f, \"cpu\": %.6f}\n", sent, sent * size, spent,
           cpu() - cpu_start);
}

static void latency(double cpu_start)
{
    struct link *link = new_link();
    unsigned char *message = calloc(1, size);
    size_t trips = 0, room = 1 << 22;
    double *trip = malloc(room * sizeof *trip);
    open_link(link);
    double before = now(), end = before + seconds;
    while (before < end && trips < room) {
        send_message(link->socket, message, size);
        wait_messages(link, trips + 1);
        double after = now();
        trip[trips++] = after - before;
        before = after;
    }
    close_link(link);
    size_t warm = trips / 10, n = trips - warm;
    qsort(trip + warm, n, sizeof *trip, ascending);
    printf("{\"p50\": %.3f, \"p90\": %.3f, \"p99\": %.3f, \"messages\": %zu, \"cpu\": %.6f}\n",
           trip[warm + n / 2] * 1e6, trip[warm + n * 90 / 100] * 1e6, trip[warm + n * 99 / 100] * 1e6, n,
           cpu() - cpu_start);
}

static void *cycle(void *until)
{
    struct link *link = new_link();
    size_t cycles = 0;
    while (now() < *(double *)until) {
        open_link(link);
        close_link(link);
        cycles++;
    }
    return (void *)cycles;
}

static void setup(double cpu_start)
{
    pthread_t threads[256];
    size_t cycles = 0;
    double start = now(), end = start + seconds;
    int n = count < 256 ? count : 256;
    for (int i = 0; i < n; i++)
        pthread_create(&threads[i], NULL, cycle, &end);
    for (int i = 0; i < n; i++) {
        void *done;
        pthread_join(threads[i], &done);
        cycles += (size_t)done;
    }
    printf("{\"cycles\": %zu, \"seconds\": %.6f, \"cpu\": %.6f}\n", cycles, now() - start, cpu() - cpu_start);
}

static void *accept_all(void *listener)
{
    for (;;) {
        struct socket *s = usrsctp_accept(listener, NULL, NULL);
        if (!s && errno != EINTR && errno != ECONNABORTED)
            return NULL;
    }
}

static void serve(int port)
{
    pthread_t thread;
    char rest[64];
    struct socket *listener = new_socket(new_link()); /* those accepted inherit the link: one at a time in bulk, latency */
    if (usrsctp_listen(listener, 512) < 0)
        fail("listen");
    pthread_create(&thread, NULL, accept_all, listener);
    printf("{\"port\": %d}\n", port);
    fflush(stdout);
    double start = cpu();
    while (read(STDIN_FILENO, rest, sizeof rest) > 0)
        ;
    printf("{\"cpu\": %.6f}\n", cpu() - start);
}

int main(int argc, char **argv)
{
    if (argc != 9) {
        fprintf(stderr, "usage: usrsctp_bench server|client KIND PORT SIZE SECONDS COUNT MTU BUFFER\n");
        return 2;
    }
    is_server = !strcmp(argv[1], "server");
    kind = argv[2];
    udp_port = atoi(argv[3]);
    size = strtoul(argv[4], NULL, 10);
    seconds = atof(argv[5]);
    count = atoi(argv[6]);
    mtu = atoi(argv[7]);
    buffer = atoi(argv[8]);
    int own_port = free_port();
    usrsctp_init(own_port, NULL, NULL);
    usrsctp_sysctl_set_sctp_no_csum_on_loopback(0); /* by default there is no checksum here */
    usrsctp_sysctl_set_sctp_blackhole(0);
    double start = cpu();
    if (is_server)
        serve(own_port);
    else if (!strcmp(kind, "bulk"))
        bulk(start);
    else if (!strcmp(kind, "latency"))
        latency(start);
    else if (!strcmp(kind, "setup"))
        setup(start);
    fflush(stdout);
    _exit(0); /* usrsctp_finish() would wait for what lingers */
}
