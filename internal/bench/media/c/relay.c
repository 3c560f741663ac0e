/*
 * relay: the least that a relay of RTP can do, as a floor to measure by.
 *
 *   relay CALLS IP PORT < targets
 *
 * One thread. Each call has two connected sockets, at PORT+4i towards party A and
 * at PORT+4i+2 towards party B: the kernel then takes packets from that party
 * alone. epoll tells which are readable; a packet costs one recv and one send.
 * stdin has a line a call, "A B", the parties' ip:port. "ready" is printed once
 * all sockets are there.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256
#define LARGEST 2048

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in address(const char *ip, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	if (!inet_aton(ip, &a.sin_addr)) {
		fprintf(stderr, "relay: %s is no IPv4 address\n", ip);
		exit(2);
	}
	return a;
}

/* one socket of ours, which hears and is heard by one party only */
static int leg(const char *ip, int port)
{
	char party[64];
	int at, fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in self = address(ip, port), peer;
	if (scanf("%63[^:]:%d ", party, &at) != 2) {
		fprintf(stderr, "relay: a target is missing on stdin\n");
		exit(2);
	}
	peer = address(party, at);
	if (fd < 0 || bind(fd, (void *)&self, sizeof self) || connect(fd, (void *)&peer, sizeof peer))
		fail("a leg");
	return fd;
}

int main(int argc, char **argv)
{
	struct epoll_event ready[EVENTS];
	char packet[LARGEST];
	if (argc != 4) {
		fprintf(stderr, "usage: relay CALLS IP PORT < targets\n");
		return 2;
	}
	int legs = 2 * atoi(argv[1]), port = atoi(argv[3]), ep = epoll_create1(0);
	int *fds = calloc(legs, sizeof *fds);
	for (int i = 0; i < legs; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
		fds[i] = leg(argv[2], port + 2 * i);
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &e))
			fail("epoll");
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(ep, ready, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			int k = ready[i].data.u32; /* the other leg of its call is k^1 */
			ssize_t got = recv(fds[k], packet, sizeof packet, 0);
			if (got > 0)
				send(fds[k ^ 1], packet, got, 0);
		}
	}
}
