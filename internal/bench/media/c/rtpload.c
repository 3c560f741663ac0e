/*
 * rtpload: the RTP of many calls, for a relay to pass on, and what became of it.
 *
 *   rtpload -n CALLS -a IP -b IP -p PORT [-w WARM] [-d SECONDS] [-r PID] < targets
 *
 * A call has two legs, on IP a and on IP b at PORT+2i. Each sends a packet of 160
 * bytes of PCMU every 20 ms to its target and takes what the relay passes on from
 * the other leg. One thread does it all: it wakes up four times a millisecond and
 * sends what is due, so that packets are spread over the 20 ms in a fixed random
 * order and not sent in bursts.
 *
 * "bound" is printed once the sockets are there, so that calls can be set up to
 * them. Then stdin has a line a call, "A B", the ip:port that each leg must send
 * to. The run is WARM seconds that don't count and SECONDS that do. At the end a
 * line of JSON is printed; times of latency are in us, of CPU in s.
 *
 * Latency is from just before the send to the kernel's time stamp of the arrival:
 * that is independent of when this program reads its sockets. CPU is the sum of
 * the run times of PID's threads (proc_pid_schedstat, exact to the ns), and what
 * the whole machine wasn't idle, both over just the seconds that count.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME 20000000LL /* ns between two packets of a leg */
#define SLOT 250000LL	 /* ns between two wake-ups */
#define SLOTS (FRAME / SLOT)
#define ROUND 100000000LL /* ns in which every socket is read once */
#define HEADER 12
#define PACKET (HEADER + 160)
#define BATCH 32
#define HISTOGRAM 5000000 /* us; what took longer counts as that */
#define MAGIC 0x636f6e73656e7467ULL

struct leg {
	int fd;
	uint16_t seq;
	uint32_t ts, ssrc;
};

/* what a payload begins with */
struct __attribute__((packed)) mark {
	uint64_t magic;
	int64_t sent;	  /* ns, CLOCK_REALTIME as the kernel's stamps */
	uint32_t counted; /* sent in the seconds that count */
};

/* CPU used until now, s */
struct usage {
	double relay, self, machine, wall;
};

static struct leg *legs;
static int n;
static uint32_t latency[HISTOGRAM + 1]; /* packets by us */
static uint64_t sent, received, unsent, foreign;
static int64_t worst;

static void fail(const char *what)
{
	fprintf(stderr, "rtpload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static struct sockaddr_in address(const char *ip, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	if (!inet_aton(ip, &a.sin_addr)) {
		fprintf(stderr, "rtpload: %s is no IPv4 address\n", ip);
		exit(2);
	}
	return a;
}

static void bind_leg(struct leg *l, const char *ip, int port)
{
	struct sockaddr_in a = address(ip, port);
	int on = 1;
	l->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (l->fd < 0 || bind(l->fd, (void *)&a, sizeof a) || setsockopt(l->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on))
		fail("binding a leg");
}

static void connect_leg(struct leg *l)
{
	char ip[64];
	int port;
	if (scanf("%63[^:]:%d ", ip, &port) != 2) {
		fprintf(stderr, "rtpload: a target is missing on stdin\n");
		exit(2);
	}
	struct sockaddr_in a = address(ip, port);
	if (connect(l->fd, (void *)&a, sizeof a))
		fail("connecting a leg");
}

static void transmit(struct leg *l, int counted)
{
	static uint8_t packet[PACKET] = {0x80};
	uint16_t seq = htons(l->seq++);
	uint32_t ts = htonl(l->ts), ssrc = htonl(l->ssrc);
	struct mark m = {MAGIC, 0, counted};
	l->ts += 160;
	memcpy(packet + 2, &seq, 2);
	memcpy(packet + 4, &ts, 4);
	memcpy(packet + 8, &ssrc, 4);
	m.sent = now(CLOCK_REALTIME);
	memcpy(packet + HEADER, &m, sizeof m);
	if (send(l->fd, packet, PACKET, 0) != PACKET)
		unsent++;
	else if (counted)
		sent++;
}

/* one packet that came; stamp is when, ns */
static void arrived(const uint8_t *packet, size_t size, int64_t stamp)
{
	struct mark m;
	memcpy(&m, packet + HEADER, sizeof m);
	if (size != PACKET || m.magic != MAGIC) { /* such as a prompt */
		foreign++;
		return;
	}
	if (!m.counted)
		return;
	int64_t took = stamp > m.sent ? stamp - m.sent : 0;
	if (took > worst)
		worst = took;
	latency[took / 1000 < HISTOGRAM ? took / 1000 : HISTOGRAM]++;
	received++;
}

static void drain(struct leg *l)
{
	static uint8_t packets[BATCH][2048], control[BATCH][64];
	static struct mmsghdr m[BATCH];
	static struct iovec v[BATCH];
	int got;
	do {
		for (int i = 0; i < BATCH; i++) {
			v[i] = (struct iovec){packets[i], sizeof packets[i]};
			m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1,
				.msg_control = control[i], .msg_controllen = sizeof control[i]};
		}
		got = recvmmsg(l->fd, m, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < got; i++) {
			struct cmsghdr *c = CMSG_FIRSTHDR(&m[i].msg_hdr);
			struct timespec t;
			if (!c || c->cmsg_type != SCM_TIMESTAMPNS)
				fail("a packet without a time stamp");
			memcpy(&t, CMSG_DATA(c), sizeof t);
			arrived(packets[i], m[i].msg_len, t.tv_sec * 1000000000LL + t.tv_nsec);
		}
	} while (got == BATCH);
}

/* run time of a process's threads, s */
static double run_time(int pid)
{
	char path[300];
	double sum = 0;
	struct dirent *e;
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *d = opendir(path);
	if (!d)
		fail(path);
	while ((e = readdir(d))) {
		unsigned long long ns = 0;
		snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, e->d_name);
		FILE *f = *e->d_name == '.' ? NULL : fopen(path, "r");
		if (f && fscanf(f, "%llu", &ns) == 1)
			sum += ns / 1e9;
		if (f)
			fclose(f);
	}
	closedir(d);
	return sum;
}

static struct usage usage(int pid)
{
	long user, nice, system, idle, wait;
	FILE *f = fopen("/proc/stat", "r");
	if (!f || fscanf(f, "cpu %ld %ld %ld %ld %ld", &user, &nice, &system, &idle, &wait) != 5)
		fail("/proc/stat");
	fclose(f);
	struct usage u = {.self = now(CLOCK_PROCESS_CPUTIME_ID) / 1e9, .wall = now(CLOCK_MONOTONIC) / 1e9};
	u.machine = u.wall * sysconf(_SC_NPROCESSORS_ONLN) - (double)(idle + wait) / sysconf(_SC_CLK_TCK);
	u.relay = pid ? run_time(pid) : 0;
	return u;
}

static int64_t percentile(double p)
{
	uint64_t seen = 0;
	for (int us = 0; us <= HISTOGRAM; us++)
		if ((seen += latency[us]) > received * p)
			return us;
	return 0;
}

/* the legs in a fixed random order, so that no two neighbours send together */
static int *shuffled(void)
{
	int *order = malloc(n * sizeof *order);
	srand(7);
	for (int i = 0; i < n; i++) {
		int k = rand() % (i + 1);
		order[i] = order[k];
		order[k] = i;
	}
	return order;
}

/* sends and receives until end; returns how late it ever was while counting, ns */
static int64_t run(double warm, double seconds, int pid, struct usage *from, struct usage *to)
{
	int64_t begin = now(CLOCK_MONOTONIC) + FRAME, late = 0;
	int *order = shuffled(), counting = 0, cursor = 0;
	for (int64_t k = 0;; k++) {
		int64_t at = k * SLOT, due = begin + at;
		struct timespec t = {due / 1000000000, due % 1000000000};
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
			;
		if (counting && now(CLOCK_MONOTONIC) - due > late)
			late = now(CLOCK_MONOTONIC) - due;
		if (!counting && at >= warm * 1e9) {
			*from = usage(pid);
			counting = 1;
		}
		if (at >= (warm + seconds) * 1e9)
			break;
		int slot = k % SLOTS;
		for (int i = (int64_t)n * slot / SLOTS; i < (int64_t)n * (slot + 1) / SLOTS; i++)
			transmit(&legs[order[i]], counting);
		for (int upto = (at + SLOT) % ROUND * n / ROUND; cursor != upto; cursor = (cursor + 1) % n)
			drain(&legs[cursor]);
	}
	*to = usage(pid);
	free(order);
	return late;
}

int main(int argc, char **argv)
{
	const char *ip[2] = {0};
	double warm = 2, seconds = 6;
	int option, port = 0, pid = 0;
	while ((option = getopt(argc, argv, "n:a:b:p:w:d:r:")) != -1)
		switch (option) {
		case 'n': n = 2 * atoi(optarg); break;
		case 'a': ip[0] = optarg; break;
		case 'b': ip[1] = optarg; break;
		case 'p': port = atoi(optarg); break;
		case 'w': warm = atof(optarg); break;
		case 'd': seconds = atof(optarg); break;
		case 'r': pid = atoi(optarg); break;
		default: return 2;
		}
	if (n <= 0 || !ip[0] || !ip[1] || !port) {
		fprintf(stderr, "usage: rtpload -n CALLS -a IP -b IP -p PORT [-w WARM] [-d SECONDS] [-r PID] < targets\n");
		return 2;
	}
	prctl(PR_SET_TIMERSLACK, 1000);
	legs = calloc(n, sizeof *legs);
	for (int i = 0; i < n; i++) {
		legs[i] = (struct leg){.ssrc = 0x10000000u + i, .seq = 1000};
		bind_leg(&legs[i], ip[i % 2], port + i / 2 * 2);
	}
	puts("bound");
	fflush(stdout);
	for (int i = 0; i < n; i++)
		connect_leg(&legs[i]);

	struct usage from, to;
	int64_t late = run(warm, seconds, pid, &from, &to);
	usleep(300000); /* for those under way */
	for (int i = 0; i < n; i++)
		drain(&legs[i]);
	printf("{\"sent\":%lu,\"received\":%lu,\"unsent\":%lu,\"foreign\":%lu,\"p50\":%ld,\"p99\":%ld,\"max\":%ld,\"late\":%ld,"
	       "\"seconds\":%.6f,\"relay_cpu\":%.6f,\"own_cpu\":%.6f,\"machine_cpu\":%.6f}\n",
	       sent, received, unsent, foreign, percentile(.5), percentile(.99), worst / 1000, late / 1000,
	       to.wall - from.wall, to.relay - from.relay, to.self - from.self, to.machine - from.machine);
	return 0;
}
