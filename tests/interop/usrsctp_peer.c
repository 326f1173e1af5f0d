/*
 * An SCTP peer on top of libusrsctp, for the tests beside it.
 *
 *   usrsctp_peer server|client NAME=VALUE...     see `options`
 *
 * Commands come in on stdin, one a line (see `commands`); what happens goes out on stdout, one JSON object a line. The
 * peer knows one association at a time: the newest. It never closes a socket: it lives no longer than a test.
 *
 * Messages describe themselves: the PPID of the n-th is n, and its bytes follow from n, whatever its stream and size.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <usrsctp.h>

#define MOST_ADDRESSES 4
#define MOST_ITEMS 16                               /* of another list */
#define MOST_SIZES 32
#define LONGEST_MESSAGE (4 << 20)
#define PERIOD 65521

#ifndef SCTP_INTERLEAVING_SUPPORTED                 /* in the library, but not in its header */
#define SCTP_INTERLEAVING_SUPPORTED 0x00001206
#endif
#define ANY_POLICY 0x000f                           /* SCTP_PR_SCTP_ALL there */
#define UNSET (-1)

enum { ECHO, SINK };

static struct {
    bool server;
    int mode;                                       /* of what comes in: echo it, or only report it */
    int hold;                                       /* 1: read nothing before the command `read` */
    char *bind[MOST_ADDRESSES], *host[MOST_ADDRESSES];
    int inet6;                                      /* 1: a socket of both families, though the first address is IPv4 */
    int port, peer_port, udp_port, peer_udp_port;   /* our SCTP port, the peer's, and the same of UDP */
    int streams, rcvbuf, sndbuf, heartbeat;         /* heartbeat: the interval in ms, 0: none */
    int most_streams;                               /* that the peer may have, with those added; 0: `streams` */
    int pr, reconfig, idata;                        /* offer partial reliability, stream reconfiguration, I-DATA */
    int allow;                                      /* of requests to reconfigure: 1 resets, 2 of TSNs, 4 more streams */
    int scheduler;                                  /* one of SCTP_SS_* */
    int delivery_point;                             /* bytes of a message after which to deliver in pieces; 0: half of rcvbuf */
    int rto_min, rto_initial, rto_max, sack_delay;  /* ms */
    int path_retrans, assoc_retrans;
    int auth, asconf;                               /* offer authentication, changes of addresses; UNSET: as the library does */
    char *auth_chunks[MOST_ITEMS];                  /* types of the chunks that the peer has to authenticate */
    char *auth_keys[MOST_ITEMS];                    /* shared keys, each an id, a colon, and hexadecimal digits */
    int auth_active;                                /* the id of the key to send with */
    int adaptation;                                 /* the number for the layer above the peer's SCTP */
    int nat;                                        /* Disable Restart in the INIT */
} options = {
    .port = 5001, .peer_port = 5001, .udp_port = 9899, .peer_udp_port = 0, .streams = 128, .rcvbuf = 4 << 20,
    .sndbuf = 8 << 20, .heartbeat = 0, .rto_min = 100, .rto_initial = 500, .rto_max = 2000, .sack_delay = 20,
    .path_retrans = 5, .assoc_retrans = 10, .pr = 1, .reconfig = 1, .idata = 0, .allow = 7, .scheduler = UNSET,
    .auth = UNSET, .asconf = UNSET, .auth_active = UNSET, .adaptation = UNSET,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t unheld = PTHREAD_COND_INITIALIZER;
static struct socket *current;                      /* of the newest association; under `lock`, as `options.hold` is */
static unsigned char pattern[PERIOD + LONGEST_MESSAGE];

/* ------------------------------------------------------------------------------------------------- output */

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;
    va_list arguments;
    pthread_mutex_lock(&output);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&output);
}

__attribute__((noreturn)) static void die(const char *what)
{
    fprintf(stderr, "usrsctp_peer: %s: %s\n", what, strerror(errno));
    _exit(2);
}

static const char *written(const void *address, char *text)
{
    const struct sockaddr *any = address;
    if (any->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text, INET6_ADDRSTRLEN);
    else if (any->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, text, INET6_ADDRSTRLEN);
    else
        strcpy(text, "?");
    return text;
}

/* ------------------------------------------------------------------------------- calls of the library to libc */

/* It would go on without its UDP socket if the port is in use. */
int bind(int fd, const struct sockaddr *address, socklen_t length)
{
    static int (*libc)(int, const struct sockaddr *, socklen_t);
    if (!libc) libc = dlsym(RTLD_NEXT, "bind");
    int result = libc(fd, address, length);
    if (result < 0 && errno == EADDRINUSE) die("the UDP port");
    return result;
}

/* As root it would open raw sockets, hear other SCTP of this machine there, and answer it. */
int socket(int family, int type, int protocol)
{
    static int (*libc)(int, int, int);
    if (!libc) libc = dlsym(RTLD_NEXT, "socket");
    if ((type & 0xf) == SOCK_RAW && protocol == IPPROTO_SCTP) {
        errno = EPERM;
        return -1;
    }
    return libc(family, type, protocol);
}

/* It would take UDP buffers of 128 KiB, which overflow on loopback. */
int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
    static int (*libc)(int, int, int, const void *, socklen_t);
    if (!libc) libc = dlsym(RTLD_NEXT, "setsockopt");
    int size = 4 << 20;
    if (level == SOL_SOCKET && (option == SO_RCVBUF || option == SO_SNDBUF) && length == sizeof size) value = &size;
    return libc(fd, level, option, value, length);
}

/* It takes local addresses from here; 127.0.0.2 to 127.0.0.4 work without being listed. */
int getifaddrs(struct ifaddrs **list)
{
    static int (*libc)(struct ifaddrs **);
    if (!libc) libc = dlsym(RTLD_NEXT, "getifaddrs");
    int result = libc(list);
    struct ifaddrs *loopback = NULL, *last = NULL;
    for (struct ifaddrs *at = result ? NULL : *list; at; last = at, at = at->ifa_next)
        if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET
            && ((struct sockaddr_in *)at->ifa_addr)->sin_addr.s_addr == htonl(INADDR_LOOPBACK))
            loopback = at;
    for (int i = 1; loopback && i < MOST_ADDRESSES; i++) {
        struct ifaddrs *more = malloc(sizeof *more);
        struct sockaddr_in *address = malloc(sizeof *address);
        *more = *loopback;
        *address = *(struct sockaddr_in *)loopback->ifa_addr;
        address->sin_addr.s_addr = htonl(INADDR_LOOPBACK + i);
        more->ifa_addr = (struct sockaddr *)address;
        more->ifa_next = NULL;
        last->ifa_next = more;
        last = more;
    }
    return result;
}

void freeifaddrs(struct ifaddrs *list) { (void)list; } /* ours is of two kinds, and needed to the end */

static _Atomic in_addr_t sources[MOST_ADDRESSES];   /* our addresses of IPv4 that the peer knows of; 0: none */
static atomic_bool source6;                         /* whether it knows of ::1, the only one of IPv6 that a machine is sure to have */
static char leaving[INET6_ADDRSTRLEN];              /* the one that was removed last: not even the request comes from there */

/* It leaves the choice of the source address to the system. A machine with two networks would use the address that it has
 * in the network of the destination; here each address is a network, with one host at either end. Where we have none there
 * it is any other of ours; without one of that family nothing gets there. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    static ssize_t (*libc)(int, const struct msghdr *, int);
    if (!libc) libc = dlsym(RTLD_NEXT, "sendmsg");
    const struct sockaddr_in *to = message->msg_name;
    in_addr_t ours = 0;
    for (int i = 0; to && to->sin_family == AF_INET && i < MOST_ADDRESSES; i++)
        if (sources[i] && (!ours || sources[i] == to->sin_addr.s_addr)) ours = sources[i];
    if (to && (to->sin_family == AF_INET ? !ours : to->sin_family == AF_INET6 && !source6)) return 0;
    if (!ours) return libc(fd, message, flags);
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in_pktinfo))] = {0};
    struct msghdr copy = *message;
    copy.msg_control = control;
    copy.msg_controllen = sizeof control;
    struct cmsghdr *info = CMSG_FIRSTHDR(&copy);
    info->cmsg_level = IPPROTO_IP;
    info->cmsg_type = IP_PKTINFO;
    info->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    ((struct in_pktinfo *)CMSG_DATA(info))->ipi_spec_dst.s_addr = ours;
    return libc(fd, &copy, flags);
}

/* ---------------------------------------------------------------------------------------------- messages */

static void make_pattern(void)
{
    uint32_t x = 2463534242u;
    for (int i = 0; i < PERIOD; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        pattern[i] = (unsigned char)x;
    }
    for (size_t i = PERIOD; i < sizeof pattern; i++) pattern[i] = pattern[i - PERIOD];
}

static const unsigned char *body(uint32_t n) { return pattern + (uint64_t)n * 7919 % PERIOD; }

static const char *boolean(bool value) { return value ? "true" : "false"; }

/* `policy` is when to abandon it: how, and the value that belongs to it; NULL: never. */
static bool send_message(struct socket *so, const void *data, size_t size, int stream, uint32_t ppid, int flags,
                         const struct sctp_prinfo *policy)
{
    struct sctp_sendv_spa all = {.sendv_flags = SCTP_SEND_SNDINFO_VALID,
                                 .sendv_sndinfo = {.snd_sid = stream, .snd_ppid = htonl(ppid), .snd_flags = flags}};
    if (policy && policy->pr_policy != SCTP_PR_SCTP_NONE) {
        all.sendv_flags |= SCTP_SEND_PRINFO_VALID;
        all.sendv_prinfo = *policy;
    }
    if (usrsctp_sendv(so, data, size, NULL, 0, &all, sizeof all, SCTP_SENDV_SPA, 0) >= 0) return true;
    tell("{\"event\":\"send-failed\",\"reason\":\"%s\"}", strerror(errno));
    return false;
}

/* `interleaved`: between its pieces came some of other streams. */
static void on_message(struct socket *so, const unsigned char *data, size_t size, const struct sctp_rcvinfo *info,
                       bool interleaved)
{
    uint32_t n = ntohl(info->rcv_ppid);
    bool unordered = info->rcv_flags & SCTP_UNORDERED;
    /* Of an unordered message of DATA that is delivered in pieces, the library may use what the reader has freed. */
    if (unordered && !options.idata && size > (size_t)options.delivery_point) die("longer than delivery_point");
    bool intact = size <= LONGEST_MESSAGE && !memcmp(data, body(n), size);
    tell("{\"event\":\"message\",\"n\":%u,\"stream\":%u,\"size\":%zu,\"unordered\":%s,\"intact\":%s,\"ssn\":%u,\"interleaved\":%s}",
         n, info->rcv_sid, size, boolean(unordered), boolean(intact), info->rcv_ssn, boolean(interleaved));
    if (options.mode == ECHO) send_message(so, data, size, info->rcv_sid, n, unordered ? SCTP_UNORDERED : 0, NULL);
}

/* ------------------------------------------------------------------------------------------ notifications */

static const char *result(unsigned flags)
{
    return flags & SCTP_STREAM_RESET_DENIED ? "denied" : flags & SCTP_STREAM_RESET_FAILED ? "failed" : "ok";
}

static void on_streams_reset(const struct sctp_stream_reset_event *event)
{
    char list[8192] = ""; /* more than the library ever puts into one event */
    size_t count = (event->strreset_length - sizeof *event) / sizeof *event->strreset_stream_list, used = 0;
    for (size_t i = 0; i < count && used + 8 < sizeof list; i++)
        used += sprintf(list + used, "%s%u", i ? "," : "", event->strreset_stream_list[i]);
    tell("{\"event\":\"streams-reset\",\"outgoing\":%s,\"streams\":[%s],\"result\":\"%s\"}",
         boolean(event->strreset_flags & SCTP_STREAM_RESET_OUTGOING_SSN), list, result(event->strreset_flags));
}

static void on_send_failed(const struct sctp_send_failed_event *event) /* of a fragmented message: each fragment */
{
    tell("{\"event\":\"undelivered\",\"n\":%u,\"stream\":%u,\"size\":%zu,\"sent\":%s}", ntohl(event->ssfe_info.snd_ppid),
         event->ssfe_info.snd_sid, event->ssfe_length - sizeof *event, boolean(event->ssfe_flags & SCTP_DATA_SENT));
}

static void on_notification(const union sctp_notification *note, size_t length)
{
    static const char *path_states[] = {"?", "available", "unreachable", "removed", "added", "primary", "confirmed"};
    char text[1024] = "";
    switch (note->sn_header.sn_type) {
    case SCTP_ASSOC_CHANGE: {
        static const char *names[] = {"?", "up", "lost", "restarted", "down", "refused"};
        const struct sctp_assoc_change *change = &note->sn_assoc_change;
        for (size_t i = 0; i + sizeof *change < length && 2 * i + 3 < sizeof text; i++) /* up: extensions; lost: the ABORT */
            sprintf(text + 2 * i, "%02x", change->sac_info[i]);
        tell("{\"event\":\"%s\",\"outgoing\":%u,\"incoming\":%u,\"info\":\"%s\"}", names[change->sac_state <= 5 ? change->sac_state : 0],
             change->sac_outbound_streams, change->sac_inbound_streams, text);
        break;
    }
    case SCTP_PEER_ADDR_CHANGE:
        tell("{\"event\":\"path\",\"address\":\"%s\",\"state\":\"%s\"}", written(&note->sn_paddr_change.spc_aaddr, text),
             path_states[note->sn_paddr_change.spc_state <= 6 ? note->sn_paddr_change.spc_state : 0]);
        break;
    case SCTP_REMOTE_ERROR:
        tell("{\"event\":\"error\",\"cause\":%u}", note->sn_remote_error.sre_error);
        break;
    case SCTP_SHUTDOWN_EVENT:
        tell("{\"event\":\"shutdown\"}");
        break;
    case SCTP_SENDER_DRY_EVENT:
        tell("{\"event\":\"dry\"}");
        break;
    case SCTP_SEND_FAILED_EVENT:
        on_send_failed(&note->sn_send_failed_event);
        break;
    case SCTP_STREAM_RESET_EVENT:
        on_streams_reset(&note->sn_strreset_event);
        break;
    case SCTP_ASSOC_RESET_EVENT:
        tell("{\"event\":\"tsns-reset\",\"result\":\"%s\",\"local_tsn\":%u,\"remote_tsn\":%u}",
             result(note->sn_assocreset_event.assocreset_flags), note->sn_assocreset_event.assocreset_local_tsn,
             note->sn_assocreset_event.assocreset_remote_tsn);
        break;
    case SCTP_STREAM_CHANGE_EVENT:
        tell("{\"event\":\"streams-added\",\"result\":\"%s\",\"outgoing\":%u,\"incoming\":%u}",
             result(note->sn_strchange_event.strchange_flags), note->sn_strchange_event.strchange_outstrms,
             note->sn_strchange_event.strchange_instrms);
        break;
    case SCTP_ADAPTATION_INDICATION:
        tell("{\"event\":\"adaptation\",\"value\":%u}", note->sn_adaptation_event.sai_adaptation_ind);
        break;
    case SCTP_AUTHENTICATION_EVENT: {
        static const char *names[] = {"?", "new", "off", "free"};
        uint32_t what = note->sn_auth_event.auth_indication;
        tell("{\"event\":\"auth\",\"key\":%u,\"what\":\"%s\"}", note->sn_auth_event.auth_keynumber, names[what <= 3 ? what : 0]);
        break;
    }
    case SCTP_PARTIAL_DELIVERY_EVENT:
        tell("{\"event\":\"delivery-aborted\",\"stream\":%u}", note->sn_pdapi_event.pdapi_stream);
        break;
    }
}

/* ------------------------------------------------------------------------------------------------ threads */

/* A message that comes in pieces. With I-DATA several do at a time, but of one stream one after the other. */
struct unfinished {
    struct unfinished *next;
    uint16_t stream;
    bool interleaved;
    size_t size;
    unsigned char data[LONGEST_MESSAGE];
};

static struct unfinished **find(struct unfinished **list, uint16_t stream)
{
    while (*list && (*list)->stream != stream) list = &(*list)->next;
    return list;
}

static void forget(struct unfinished **at)
{
    struct unfinished *it = *at;
    if (!it) return;
    *at = it->next;
    free(it);
}

static void on_piece(struct socket *so, struct unfinished **list, const unsigned char *data, size_t size,
                     const struct sctp_rcvinfo *info, bool last)
{
    struct unfinished **at = find(list, info->rcv_sid);
    if (!*at && last) {
        on_message(so, data, size, info, false);
        return;
    }
    if (!*at) {
        *at = calloc(1, sizeof **at);
        (*at)->stream = info->rcv_sid;
    }
    for (struct unfinished *other = *list; other; other = other->next)
        if (other != *at) other->interleaved = true;
    if ((*at)->size + size > LONGEST_MESSAGE) die("a message too long");
    memcpy((*at)->data + (*at)->size, data, size);
    (*at)->size += size;
    if (last) {
        on_message(so, (*at)->data, (*at)->size, info, (*at)->interleaved);
        forget(at);
    }
}

static void *read_all(void *argument)
{
    struct socket *so = argument;
    struct unfinished *unfinished = NULL;
    unsigned char *data = malloc(LONGEST_MESSAGE);
    for (;;) {
        struct sctp_rcvinfo info = {0};
        socklen_t info_length = sizeof info;
        unsigned kind = 0;
        int flags = 0;
        pthread_mutex_lock(&lock);
        while (options.hold) pthread_cond_wait(&unheld, &lock);
        pthread_mutex_unlock(&lock);
        ssize_t size = usrsctp_recvv(so, data, LONGEST_MESSAGE, NULL, NULL, &info, &info_length, &kind, &flags);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) {
            tell("{\"event\":\"end\",\"reason\":\"%s\"}", size < 0 ? strerror(errno) : "");
            while (unfinished) forget(&unfinished);
            free(data);
            return NULL;
        }
        if (flags & MSG_NOTIFICATION) {
            const union sctp_notification *note = (const void *)data;
            if (note->sn_header.sn_type == SCTP_PARTIAL_DELIVERY_EVENT)
                forget(find(&unfinished, note->sn_pdapi_event.pdapi_stream));
            on_notification(note, size);
        } else {
            on_piece(so, &unfinished, data, size, &info, flags & MSG_EOR);
        }
    }
}

static void start(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, argument)) die("pthread_create");
    pthread_detach(thread);
}

__attribute__((noreturn)) static void *accept_all(void *listening)
{
    for (;;) {
        struct socket *so = usrsctp_accept(listening, NULL, NULL);
        if (!so) continue;
        pthread_mutex_lock(&lock);
        current = so;
        pthread_mutex_unlock(&lock);
        start(read_all, so);
    }
}

struct batch {
    struct socket *so;
    unsigned first, count, streams, sizes[MOST_SIZES], size_count;
    char order; /* o: ordered, u: unordered, m: every other one of each */
    struct sctp_prinfo policy;
};

static void *send_batch(void *argument)
{
    struct batch *b = argument;
    unsigned i;
    for (i = 0; i < b->count; i++) {
        unsigned n = b->first + i, size = b->sizes[i % b->size_count];
        bool unordered = b->order == 'u' || (b->order == 'm' && i / b->streams % 2);
        if (!send_message(b->so, body(n), size, i % b->streams, n, unordered ? SCTP_UNORDERED : 0, &b->policy)) break;
    }
    tell("{\"event\":\"sent\",\"count\":%u}", i);
    free(b);
    return NULL;
}

/* ----------------------------------------------------------------------------------------------- commands */

static socklen_t parse(const char *text, int port, struct sockaddr_storage *address)
{
    struct sockaddr_in *v4 = (void *)address;
    struct sockaddr_in6 *v6 = (void *)address;
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1) die(text);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    return sizeof *v6;
}

static void add_to(char *list, size_t size, const char *format, ...)
{
    size_t used = strlen(list);
    va_list arguments;
    va_start(arguments, format);
    if (used && used + 1 < size) list[used++] = ',';
    vsnprintf(list + used, size - used, format, arguments);
    va_end(arguments);
}

/* Our addresses that the peer has agreed to, which from now on are used; and those of the peer. */
static void tell_addresses(struct socket *so)
{
    struct sockaddr *ours = NULL, *theirs = NULL;
    char text[INET6_ADDRSTRLEN], local[1024] = "", remote[1024] = "";
    int count = usrsctp_getladdrs(so, 0, &ours);
    const char *at = (const char *)ours;
    in_addr_t known[MOST_ADDRESSES] = {0};
    bool known6 = false;
    for (int i = 0; i < count; i++) {
        bool v4 = ((const struct sockaddr *)at)->sa_family == AF_INET;
        add_to(local, sizeof local, "\"%s\"", written(at, text));
        bool stays = strcmp(text, leaving);
        if (v4 && stays && i < MOST_ADDRESSES) known[i] = ((const struct sockaddr_in *)at)->sin_addr.s_addr;
        known6 |= !v4 && stays;
        at += v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    }
    for (int i = 0; i < MOST_ADDRESSES; i++) sources[i] = known[i];
    source6 = known6;
    count = usrsctp_getpaddrs(so, 0, &theirs);
    at = (const char *)theirs;
    for (int i = 0; i < count; i++) {
        add_to(remote, sizeof remote, "\"%s\"", written(at, text));
        at += ((const struct sockaddr *)at)->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    }
    if (ours) usrsctp_freeladdrs(ours);
    if (theirs) usrsctp_freepaddrs(theirs);
    tell("{\"event\":\"addresses\",\"local\":[%s],\"peer\":[%s]}", local, remote);
}

static void tell_authentication(struct socket *so)
{
    struct { sctp_assoc_t id; uint32_t count; uint8_t chunks[256]; } demanded = {0}; /* the library's header has no count */
    socklen_t length = sizeof demanded;
    struct sctpstat counters;
    char list[1024] = "";
    usrsctp_getsockopt(so, IPPROTO_SCTP, SCTP_PEER_AUTH_CHUNKS, &demanded, &length);
    for (uint32_t i = 0; i < demanded.count; i++) add_to(list, sizeof list, "%u", demanded.chunks[i]);
    usrsctp_get_stat(&counters);
    tell("{\"event\":\"authentication\",\"demanded\":[%s],\"authenticated\":%u,\"missing\":%u,\"failed\":%u,\"unknown_key\":%u}",
         list, counters.sctps_recvauth, counters.sctps_recvauthmissing, counters.sctps_recvauthfailed,
         counters.sctps_recvivalkeyid);
}

static void tell_status(struct socket *so)
{
    struct sctp_status status = {0};
    struct sctpstat counters;
    struct sctp_prstatus abandoned = {.sprstat_policy = ANY_POLICY};
    socklen_t abandoned_length = sizeof abandoned;
    socklen_t length = sizeof status;
    char primary[INET6_ADDRSTRLEN];
    if (usrsctp_getsockopt(so, IPPROTO_SCTP, SCTP_STATUS, &status, &length) < 0) {
        tell("{\"event\":\"status\",\"state\":0,\"reason\":\"%s\"}", strerror(errno));
        return;
    }
    usrsctp_getsockopt(so, IPPROTO_SCTP, SCTP_PR_ASSOC_STATUS, &abandoned, &abandoned_length);
    usrsctp_get_stat(&counters);
    tell("{\"event\":\"status\",\"state\":%d,\"peer_rwnd\":%u,\"unacknowledged\":%u,\"pending\":%u,\"outgoing\":%u,\"incoming\":%u,"
         "\"primary\":\"%s\",\"heartbeat_acks\":%u,\"retransmitted\":%u,\"fast_retransmitted\":%u,"
         "\"t3_timeouts\":%u,\"dropped_for_window\":%u,\"checksum_errors\":%u,\"abandoned_sent\":%u,\"abandoned_unsent\":%u}",
         status.sstat_state, status.sstat_rwnd, status.sstat_unackdata, status.sstat_penddata, status.sstat_outstrms,
         status.sstat_instrms, written(&status.sstat_primary.spinfo_address, primary), counters.sctps_recvheartbeatack,
         counters.sctps_sendretransdata, counters.sctps_sendfastretrans, counters.sctps_timodata,
         counters.sctps_datadroprwnd, counters.sctps_checksumerrors, (unsigned)abandoned.sprstat_abandoned_sent,
         (unsigned)abandoned.sprstat_abandoned_unsent);
}

static void *connect_all(void *so)
{
    struct sockaddr_storage address;
    char packed[MOST_ADDRESSES * sizeof address], *end = packed;
    sctp_assoc_t id;
    int count = 0;
    for (; count < MOST_ADDRESSES && options.host[count]; count++) {
        socklen_t length = parse(options.host[count], options.peer_port, &address);
        memcpy(end, &address, length);
        end += length;
    }
    if (usrsctp_connectx(so, (struct sockaddr *)packed, count, &id) < 0)
        tell("{\"event\":\"connect-failed\",\"reason\":\"%s\"}", strerror(errno));
    else
        start(read_all, so);
    return NULL;
}

static uint16_t policy(const char *name)
{
    static const char *names[] = {[SCTP_PR_SCTP_TTL] = "ttl", [SCTP_PR_SCTP_BUF] = "priority", [SCTP_PR_SCTP_RTX] = "rtx"};
    for (size_t i = 1; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) return i;
    die(name);
}

/* Ask for something that the peer has to agree to: tells whether the library took the request. */
static bool ask(struct socket *so, const char *name, int option, const void *value, socklen_t length)
{
    int outcome = usrsctp_setsockopt(so, IPPROTO_SCTP, option, value, length);
    tell("{\"event\":\"asked\",\"for\":\"%s\",\"reason\":\"%s\"}", name, outcome < 0 ? strerror(errno) : "");
    return outcome >= 0;
}

static void ask_for_reset(struct socket *so, char *arguments)
{
    struct sctp_reset_streams *request = calloc(1, sizeof *request + strlen(arguments) * sizeof *request->srs_stream_list);
    char *direction = strtok(arguments, " ");
    request->srs_flags = strcmp(direction, "in") ? SCTP_STREAM_RESET_OUTGOING : SCTP_STREAM_RESET_INCOMING;
    for (char *stream = strtok(NULL, " "); stream; stream = strtok(NULL, " "))
        request->srs_stream_list[request->srs_number_streams++] = atoi(stream);
    ask(so, "reset", SCTP_RESET_STREAMS, request,
        sizeof *request + request->srs_number_streams * sizeof *request->srs_stream_list);
    free(request);
}

static struct sctp_authkey *make_key(const char *hex, socklen_t *length)
{
    size_t size = strlen(hex) / 2;
    struct sctp_authkey *key = calloc(1, sizeof *key + size);
    for (size_t i = 0; i < size; i++)
        if (sscanf(hex + 2 * i, "%2hhx", &key->sca_key[i]) != 1) die(hex);
    key->sca_keylength = size;
    *length = sizeof *key + size;
    return key;
}

static void change_key(struct socket *so, const char *name, char *arguments)
{
    struct sctp_authkeyid id = {.scact_keynumber = atoi(strtok(arguments, " "))};
    if (!strcmp(name, "auth-key")) {
        socklen_t length;
        struct sctp_authkey *key = make_key(strtok(NULL, " "), &length);
        key->sca_keynumber = id.scact_keynumber;
        ask(so, name, SCTP_AUTH_KEY, key, length);
        free(key);
    } else {
        int option = !strcmp(name, "auth-activate")     ? SCTP_AUTH_ACTIVE_KEY
                     : !strcmp(name, "auth-deactivate") ? SCTP_AUTH_DEACTIVATE_KEY
                                                        : SCTP_AUTH_DELETE_KEY;
        ask(so, name, option, &id, sizeof id);
    }
}

static void change_address(struct socket *so, const char *name, const char *text)
{
    struct sctp_setpeerprim theirs = {0};
    struct sctp_setprim ours = {0};
    struct sockaddr_storage address;
    socklen_t length = parse(text, options.port, &address);
    if (!strcmp(name, "add-address")) {
        leaving[0] = 0;
        ask(so, name, SCTP_BINDX_ADD_ADDR, &address, length);
    } else if (!strcmp(name, "remove-address")) {
        in_addr_t v4 = address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_addr.s_addr : 0;
        int i = 0;
        while (i < MOST_ADDRESSES - 1 && sources[i] != v4) i++;
        bool before6 = source6;
        if (sources[i] == v4) sources[i] = 0;
        source6 = before6 && v4;
        strcpy(leaving, text);
        if (ask(so, name, SCTP_BINDX_REM_ADDR, &address, length)) return;
        sources[i] = v4;
        source6 = before6;
        leaving[0] = 0;
    } else if (!strcmp(name, "set-peer-primary")) {
        parse(text, 0, &theirs.sspp_addr);
        ask(so, name, SCTP_SET_PEER_PRIMARY_ADDR, &theirs, sizeof theirs);
    } else {
        parse(text, options.peer_port, &ours.ssp_addr);
        ask(so, name, SCTP_PRIMARY_ADDR, &ours, sizeof ours);
    }
}

/*  connect                                      (a client) set up the association
 *  send FIRST COUNT STREAMS SIZE[,SIZE...] o|u|m [ttl MS|rtx RETRANSMISSIONS|priority VALUE]
 *                                               messages FIRST.. go round the streams, and round the sizes
 *  reset out|in [STREAM...]                     begin anew with these streams; without any: with all
 *  reset-tsns                                   begin anew with all TSNs and streams
 *  add OUTGOING INCOMING                        that many streams more
 *  weight STREAM VALUE                          what the scheduler is to know of a stream
 *  auth-key ID HEX; auth-activate ID; auth-deactivate ID; auth-delete ID
 *  add-address A; remove-address A              of ours, here and at the peer
 *  set-primary A; set-peer-primary A            where we send to; where the peer is asked to send to
 *  addresses; authentication                    tell what is known of them
 *  read                                         begin to read, after hold=1
 *  heartbeat ADDRESS                            send one now
 *  status                                       tell what is known of the association
 *  shutdown; abort REASON */
static void command(struct socket *so, char *line)
{
    char *name = strtok(line, " "), *rest = strtok(NULL, "");
    if (!strcmp(name, "connect")) {
        start(connect_all, so);
    } else if (!strcmp(name, "send")) {
        struct batch *b = calloc(1, sizeof *b);
        char sizes[256], how[16];
        b->so = so;
        int taken = sscanf(rest, "%u %u %u %255s %c %15s %u", &b->first, &b->count, &b->streams, sizes, &b->order, how,
                           &b->policy.pr_value);
        if (taken != 5 && taken != 7) die(name);
        if (taken == 7) b->policy.pr_policy = policy(how);
        for (char *size = strtok(sizes, ","); size && b->size_count < MOST_SIZES; size = strtok(NULL, ","))
            b->sizes[b->size_count++] = strtoul(size, NULL, 10);
        start(send_batch, b);
    } else if (!strcmp(name, "reset")) {
        ask_for_reset(so, rest);
    } else if (!strcmp(name, "reset-tsns")) {
        sctp_assoc_t id = SCTP_FUTURE_ASSOC;
        ask(so, name, SCTP_RESET_ASSOC, &id, sizeof id);
    } else if (!strcmp(name, "add")) {
        struct sctp_add_streams request = {0};
        if (sscanf(rest, "%hu %hu", &request.sas_outstrms, &request.sas_instrms) != 2) die(name);
        ask(so, name, SCTP_ADD_STREAMS, &request, sizeof request);
    } else if (!strcmp(name, "weight")) {
        struct sctp_stream_value weight = {0};
        if (sscanf(rest, "%hu %hu", &weight.stream_id, &weight.stream_value) != 2) die(name);
        ask(so, name, SCTP_SS_VALUE, &weight, sizeof weight);
    } else if (!strncmp(name, "auth-", 5)) {
        change_key(so, name, rest);
    } else if (strstr(name, "-address") || strstr(name, "-primary")) {
        change_address(so, name, rest);
    } else if (!strcmp(name, "addresses")) {
        tell_addresses(so);
    } else if (!strcmp(name, "authentication")) {
        tell_authentication(so);
    } else if (!strcmp(name, "read")) {
        pthread_mutex_lock(&lock);
        options.hold = 0;
        pthread_cond_broadcast(&unheld);
        pthread_mutex_unlock(&lock);
    } else if (!strcmp(name, "heartbeat")) {
        struct sctp_paddrparams parameters = {.spp_flags = SPP_HB_DEMAND};
        parse(rest, options.peer_port, &parameters.spp_address);
        if (usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &parameters, sizeof parameters) < 0) die(name);
    } else if (!strcmp(name, "status")) {
        tell_status(so);
    } else if (!strcmp(name, "shutdown")) {
        if (usrsctp_shutdown(so, SHUT_WR) < 0) tell("{\"event\":\"shutdown-failed\",\"reason\":\"%s\"}", strerror(errno));
    } else if (!strcmp(name, "abort")) {
        send_message(so, rest, strlen(rest), 0, 0, SCTP_ABORT, NULL);
    } else {
        die(name);
    }
}

/* -------------------------------------------------------------------------------------------------- start */

static void set(struct socket *so, int option, const void *value, socklen_t length, const char *what)
{
    if (usrsctp_setsockopt(so, IPPROTO_SCTP, option, value, length) < 0) die(what);
}

static void set_number(struct socket *so, int option, int number, const char *what)
{
    struct sctp_assoc_value value = {.assoc_id = SCTP_FUTURE_ASSOC, .assoc_value = number};
    set(so, option, &value, sizeof value, what);
}

static void set_extensions(struct socket *so)
{
    set_number(so, SCTP_PR_SUPPORTED, options.pr, "SCTP_PR_SUPPORTED");
    set_number(so, SCTP_RECONFIG_SUPPORTED, options.reconfig, "SCTP_RECONFIG_SUPPORTED");
    set_number(so, SCTP_ENABLE_STREAM_RESET, options.allow, "SCTP_ENABLE_STREAM_RESET");
    if (options.idata) { /* it wants to hear first that we can read several messages at a time */
        uint32_t level = 2;
        set(so, SCTP_FRAGMENT_INTERLEAVE, &level, sizeof level, "SCTP_FRAGMENT_INTERLEAVE");
        set_number(so, SCTP_INTERLEAVING_SUPPORTED, 1, "SCTP_INTERLEAVING_SUPPORTED");
    }
    if (options.scheduler != UNSET) set_number(so, SCTP_PLUGGABLE_SS, options.scheduler, "SCTP_PLUGGABLE_SS");
    uint32_t point = options.delivery_point;
    set(so, SCTP_PARTIAL_DELIVERY_POINT, &point, sizeof point, "SCTP_PARTIAL_DELIVERY_POINT");
}

static void set_authentication(struct socket *so)
{
    if (!options.asconf) set_number(so, SCTP_ASCONF_SUPPORTED, 0, "SCTP_ASCONF_SUPPORTED"); /* one takes the other */
    if (options.auth != UNSET) set_number(so, SCTP_AUTH_SUPPORTED, options.auth, "SCTP_AUTH_SUPPORTED");
    if (options.asconf > 0) set_number(so, SCTP_ASCONF_SUPPORTED, 1, "SCTP_ASCONF_SUPPORTED");
    for (int i = 0; i < MOST_ITEMS && options.auth_chunks[i]; i++) {
        struct sctp_authchunk chunk = {.sauth_chunk = atoi(options.auth_chunks[i])};
        set(so, SCTP_AUTH_CHUNK, &chunk, sizeof chunk, "SCTP_AUTH_CHUNK");
    }
    for (int i = 0; i < MOST_ITEMS && options.auth_keys[i]; i++) {
        socklen_t length;
        char *hex = strchr(options.auth_keys[i], ':');
        if (!hex) die(options.auth_keys[i]);
        struct sctp_authkey *key = make_key(hex + 1, &length);
        key->sca_keynumber = atoi(options.auth_keys[i]);
        set(so, SCTP_AUTH_KEY, key, length, "SCTP_AUTH_KEY");
        free(key);
    }
    if (options.auth_active != UNSET) {
        struct sctp_authkeyid id = {.scact_keynumber = options.auth_active};
        set(so, SCTP_AUTH_ACTIVE_KEY, &id, sizeof id, "SCTP_AUTH_ACTIVE_KEY");
    }
}

static struct socket *open_socket(void)
{
    static const uint16_t events[] = {SCTP_ASSOC_CHANGE, SCTP_PEER_ADDR_CHANGE, SCTP_REMOTE_ERROR, SCTP_SHUTDOWN_EVENT,
                                      SCTP_SENDER_DRY_EVENT, SCTP_SEND_FAILED_EVENT, SCTP_STREAM_RESET_EVENT,
                                      SCTP_ASSOC_RESET_EVENT, SCTP_STREAM_CHANGE_EVENT, SCTP_PARTIAL_DELIVERY_EVENT,
                                      SCTP_ADAPTATION_INDICATION, SCTP_AUTHENTICATION_EVENT};
    int family = options.inet6 || strchr(options.bind[0], ':') ? AF_INET6 : AF_INET;
    struct socket *so = usrsctp_socket(family, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
    if (!so) die("usrsctp_socket");
    int on = 1;
    struct sctp_initmsg init = {.sinit_num_ostreams = options.streams,
                                .sinit_max_instreams = options.most_streams ? options.most_streams : options.streams};
    struct sctp_paddrparams path = {.spp_flags = options.heartbeat ? SPP_HB_ENABLE : SPP_HB_DISABLE,
                                    .spp_hbinterval = options.heartbeat, .spp_pathmaxrxt = options.path_retrans};
    path.spp_address.ss_family = family;
    usrsctp_setsockopt(so, SOL_SOCKET, SO_RCVBUF, &options.rcvbuf, sizeof options.rcvbuf);
    usrsctp_setsockopt(so, SOL_SOCKET, SO_SNDBUF, &options.sndbuf, sizeof options.sndbuf);
    set(so, SCTP_INITMSG, &init, sizeof init, "SCTP_INITMSG");
    set(so, SCTP_RECVRCVINFO, &on, sizeof on, "SCTP_RECVRCVINFO");
    set(so, SCTP_NODELAY, &on, sizeof on, "SCTP_NODELAY");
    set_extensions(so);
    set_authentication(so);
    if (options.adaptation != UNSET) {
        struct sctp_setadaptation adaptation = {.ssb_adaptation_ind = options.adaptation};
        set(so, SCTP_ADAPTATION_LAYER, &adaptation, sizeof adaptation, "SCTP_ADAPTATION_LAYER");
    }
    set(so, SCTP_PEER_ADDR_PARAMS, &path, sizeof path, "SCTP_PEER_ADDR_PARAMS");
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        struct sctp_event event = {.se_assoc_id = SCTP_FUTURE_ASSOC, .se_type = events[i], .se_on = 1};
        set(so, SCTP_EVENT, &event, sizeof event, "SCTP_EVENT");
    }
    if (options.peer_udp_port) {
        struct sctp_udpencaps udp = {.sue_port = htons(options.peer_udp_port)};
        udp.sue_address.ss_family = family;
        set(so, SCTP_REMOTE_UDP_ENCAPS_PORT, &udp, sizeof udp, "SCTP_REMOTE_UDP_ENCAPS_PORT");
    }
    for (int i = 0; i < MOST_ADDRESSES && options.bind[i]; i++) {
        struct sockaddr_storage address;
        parse(options.bind[i], options.port, &address);
        if (address.ss_family == AF_INET) sources[i] = ((struct sockaddr_in *)&address)->sin_addr.s_addr;
        else source6 = true;
        if (usrsctp_bindx(so, (struct sockaddr *)&address, 1, SCTP_BINDX_ADD_ADDR) < 0) die("usrsctp_bindx");
    }
    return so;
}

static bool take(const char *argument, const char *name, int *number)
{
    size_t length = strlen(name);
    if (strncmp(argument, name, length) || argument[length] != '=') return false;
    *number = atoi(argument + length + 1);
    return true;
}

static bool take_list(char *argument, const char *name, char **list, int most)
{
    size_t length = strlen(name);
    if (strncmp(argument, name, length) || argument[length] != '=') return false;
    int i = 0;
    for (char *item = strtok(argument + length + 1, ","); item; item = strtok(NULL, ",")) {
        if (i == most) die(name);
        list[i++] = item;
    }
    return true;
}

int main(int argc, char **argv)
{
    options.server = argc > 1 && !strcmp(argv[1], "server");
    options.mode = SINK;
    for (int i = 2; i < argc; i++) {
        char *a = argv[i];
#define NUMBER(field) take(a, #field, &options.field)
        if (take_list(a, "bind", options.bind, MOST_ADDRESSES) || take_list(a, "host", options.host, MOST_ADDRESSES)
            || take_list(a, "auth_chunks", options.auth_chunks, MOST_ITEMS)
            || take_list(a, "auth_keys", options.auth_keys, MOST_ITEMS) || NUMBER(hold) || NUMBER(port)
            || NUMBER(peer_port) || NUMBER(udp_port) || NUMBER(peer_udp_port) || NUMBER(streams) || NUMBER(rcvbuf)
            || NUMBER(sndbuf) || NUMBER(heartbeat) || NUMBER(rto_min) || NUMBER(rto_initial) || NUMBER(rto_max)
            || NUMBER(sack_delay) || NUMBER(path_retrans) || NUMBER(assoc_retrans) || NUMBER(most_streams) || NUMBER(pr)
            || NUMBER(reconfig) || NUMBER(idata) || NUMBER(allow) || NUMBER(scheduler) || NUMBER(delivery_point)
            || NUMBER(auth) || NUMBER(asconf) || NUMBER(auth_active) || NUMBER(adaptation) || NUMBER(nat) || NUMBER(inet6))
            continue;
        if (strcmp(a, "mode=echo") && strcmp(a, "mode=sink")) die(a);
        options.mode = strcmp(a, "mode=sink") ? ECHO : SINK;
    }
    if (!options.bind[0]) die("bind=");
    if (!options.delivery_point) options.delivery_point = options.rcvbuf / 2; /* the most that the library allows */
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* never outlive the test */
    make_pattern();
    usrsctp_init(options.udp_port, NULL, NULL);
    if (options.asconf > 0) usleep(50000); /* its thread for that misses what comes before it waits for the first time */
    usrsctp_sysctl_set_sctp_no_csum_on_loopback(0);
    usrsctp_sysctl_set_sctp_blackhole(0);
    usrsctp_sysctl_set_sctp_inits_include_nat_friendly(options.nat);
    usrsctp_sysctl_set_sctp_rto_min_default(options.rto_min);
    usrsctp_sysctl_set_sctp_rto_initial_default(options.rto_initial);
    usrsctp_sysctl_set_sctp_rto_max_default(options.rto_max);
    usrsctp_sysctl_set_sctp_init_rto_max_default(options.rto_max);
    usrsctp_sysctl_set_sctp_delayed_sack_time_default(options.sack_delay);
    usrsctp_sysctl_set_sctp_assoc_rtx_max_default(options.assoc_retrans);

    struct socket *so = current = open_socket();
    if (options.server) {
        if (usrsctp_listen(so, 16) < 0) die("usrsctp_listen");
        start(accept_all, so);
    }
    tell("{\"event\":\"ready\"}");
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        pthread_mutex_lock(&lock);
        so = current;
        pthread_mutex_unlock(&lock);
        command(so, line);
    }
    _exit(0); /* usrsctp_finish() waits for what lingers */
}
