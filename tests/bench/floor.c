/* The floor under `make bench-networks`: what the kernel itself takes for networks as the engine makes
 * them, one bare loop without a document, a comparison, or anybody to answer to.
 *
 *     floor FIRST COUNT PEERS ROUNDS
 *
 * makes COUNT networks of PEERS peers, named floor-FIRST and so on, reads all their state and then all
 * their counters ROUNDS times, and takes the networks away again.  Prints one JSON object of
 * milliseconds.  As root, in namespaces that may be spoilt. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/wireguard.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY    "/run/netns"
#define OWN_NETNS    "/proc/thread-self/ns/net"
#define MTU	     1420
#define PREFIX	     16
#define IFINDEX	     2	/* the first link that is made in a namespace */
#define ROUTE_PROTOCOL 116	/* so that they are told from other programs' */
#define PEERS_MOST   100	/* in one message: one call may not hold a loop for long */
#define PATH_BYTES   96
#define ANSWER_BYTES 65536
#define ATTR_HEAD    sizeof(struct nlattr)

struct network {
	unsigned port;
	char     link[IFNAMSIZ];
	char     path[PATH_BYTES];
	int      ns, route, genl;
};

/* Messages one behind the other, for one write. */
struct batch {
	_Alignas(struct nlmsghdr) char bytes[65536];
	size_t           used;
	struct nlmsghdr *last;
};

static int      home;	/* the host's namespace */
static int      host_route;
static uint16_t wireguard;	/* number of the generic family */
static uint32_t sequence;

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void *take(struct batch *b, size_t bytes)
{
	void *at = b->bytes + b->used;

	if (b->used + NLMSG_ALIGN(bytes) > sizeof b->bytes)
		errx(1, "a message is too long");
	memset(at, 0, NLMSG_ALIGN(bytes));
	b->used += NLMSG_ALIGN(bytes);
	if (b->last != NULL)
		b->last->nlmsg_len = (uint32_t)(b->bytes + b->used - (char *)b->last);
	return at;
}

static void *begin(struct batch *b, uint16_t type, uint16_t flags, size_t bytes)
{
	struct nlmsghdr *head;

	b->last = NULL;
	head = take(b, sizeof *head);
	b->last = head;
	head->nlmsg_type = type;
	head->nlmsg_flags = NLM_F_REQUEST | flags;
	head->nlmsg_seq = ++sequence;
	return take(b, bytes);
}

static struct nlattr *put(struct batch *b, uint16_t type, const void *data, size_t bytes)
{
	struct nlattr *attr = take(b, ATTR_HEAD + bytes);

	attr->nla_type = type;
	attr->nla_len = (uint16_t)(ATTR_HEAD + bytes);
	if (bytes > 0)
		memcpy((char *)attr + ATTR_HEAD, data, bytes);
	return attr;
}

static void end(const struct batch *b, struct nlattr *nest)
{
	nest->nla_len = (uint16_t)(b->bytes + b->used - (char *)nest);
}

/* Sends the batch and reads until its last message is answered; returns bytes read. */
static size_t ask(int fd, struct batch *b)
{
	static _Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
	uint32_t last = b->last->nlmsg_seq;
	size_t   all = 0;

	if ((b->last->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		b->last->nlmsg_flags |= NLM_F_ACK;
	if (send(fd, b->bytes, b->used, 0) == -1)
		err(1, "send");
	b->used = 0;
	b->last = NULL;
	for (;;) {
		ssize_t n = recv(fd, answer, sizeof answer, 0);

		if (n == -1)
			err(1, "recv");
		all += (size_t)n;

		struct nlmsghdr *head = (void *)answer;

		for (size_t left = (size_t)n; NLMSG_OK(head, left); head = NLMSG_NEXT(head, left)) {
			int sys = 0;

			if (head->nlmsg_type != NLMSG_ERROR && head->nlmsg_type != NLMSG_DONE)
				continue;
			memcpy(&sys, NLMSG_DATA(head), sizeof sys);
			if (sys != 0)
				errx(1, "the kernel refused: %s", strerror(-sys));
			if (head->nlmsg_seq == last)
				return all;
		}
	}
}

static int netlink_socket(int protocol)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd == -1)
		err(1, "socket");
	return fd;
}

static void find_wireguard(void)
{
	static _Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
	struct batch       b = { .used = 0 };
	struct genlmsghdr *genl = begin(&b, GENL_ID_CTRL, 0, sizeof *genl);
	int                fd = netlink_socket(NETLINK_GENERIC);
	ssize_t            n;

	genl->cmd = CTRL_CMD_GETFAMILY;
	put(&b, CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME, sizeof WG_GENL_NAME);
	if (send(fd, b.bytes, b.used, 0) == -1)
		err(1, "send");
	n = recv(fd, answer, sizeof answer, 0);
	close(fd);

	const struct nlmsghdr *head = (const void *)answer;

	if (n == -1 || head->nlmsg_type != GENL_ID_CTRL)
		errx(1, "the kernel has no WireGuard");
	for (size_t at = NLMSG_HDRLEN + GENL_HDRLEN; at + ATTR_HEAD <= head->nlmsg_len;) {
		const struct nlattr *attr = (const void *)(answer + at);

		if (attr->nla_type == CTRL_ATTR_FAMILY_ID)
			memcpy(&wireguard, answer + at + ATTR_HEAD, sizeof wireguard);
		at += NLMSG_ALIGN((size_t)attr->nla_len);
	}
}

static void begin_device(struct batch *b, const struct network *n, uint8_t command, uint16_t flags)
{
	struct genlmsghdr *genl = begin(b, wireguard, flags, sizeof *genl);

	genl->cmd = command;
	genl->version = WG_GENL_VERSION;
	put(b, WGDEVICE_A_IFNAME, n->link, strlen(n->link) + 1);
}

static uint32_t address_of(unsigned port, unsigned host)
{
	return htonl(10U << 24 | (port & 0xff) << 16 | host);
}

static void put_peer(struct batch *b, unsigned port, unsigned host)
{
	struct nlattr *peer = put(b, NLA_F_NESTED, NULL, 0);
	struct nlattr *ranges, *range;
	uint8_t        key[32];
	uint16_t       family = AF_INET;
	uint32_t       address = address_of(port, host);
	uint8_t        bits = 32;

	if (getrandom(key, sizeof key, 0) != sizeof key)
		err(1, "getrandom");
	put(b, WGPEER_A_PUBLIC_KEY, key, sizeof key);
	ranges = put(b, NLA_F_NESTED | WGPEER_A_ALLOWEDIPS, NULL, 0);
	range = put(b, NLA_F_NESTED, NULL, 0);
	put(b, WGALLOWEDIP_A_FAMILY, &family, sizeof family);
	put(b, WGALLOWEDIP_A_IPADDR, &address, sizeof address);
	put(b, WGALLOWEDIP_A_CIDR_MASK, &bits, sizeof bits);
	end(b, range);
	end(b, ranges);
	end(b, peer);
}

/* Key, port and peers: one message, unless there are many peers. */
static void set_device(const struct network *n, unsigned peers)
{
	struct batch b = { .used = 0 };
	uint8_t      key[32];
	uint16_t     port = (uint16_t)n->port;

	if (getrandom(key, sizeof key, 0) != sizeof key)
		err(1, "getrandom");
	begin_device(&b, n, WG_CMD_SET_DEVICE, 0);
	put(&b, WGDEVICE_A_PRIVATE_KEY, key, sizeof key);
	put(&b, WGDEVICE_A_LISTEN_PORT, &port, sizeof port);
	for (unsigned done = 0; done < peers || done == 0;) {
		struct nlattr *list = put(&b, NLA_F_NESTED | WGDEVICE_A_PEERS, NULL, 0);

		for (unsigned i = 0; i < PEERS_MOST && done < peers; i++)
			put_peer(&b, n->port, 2 + done++);
		end(&b, list);
		ask(n->genl, &b);
		if (done >= peers)
			return;
		begin_device(&b, n, WG_CMD_SET_DEVICE, 0);
	}
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd == -1 && errno == ENOENT)
		return;
	if (fd == -1 || write(fd, text, strlen(text)) == -1)
		err(1, "%s", path);
	close(fd);
}

static const char *const sysctls[][2] = {
	{ "/proc/sys/net/ipv4/ip_forward", "1" },
	{ "/proc/sys/net/ipv6/conf/all/forwarding", "1" },
	{ "/proc/sys/net/ipv4/conf/all/send_redirects", "0" },
	{ "/proc/sys/net/ipv4/conf/default/send_redirects", "0" },
	{ "/proc/sys/net/ipv4/conf/all/promote_secondaries", "1" },
	{ "/proc/sys/net/ipv4/ip_local_port_range", "1024\t65535" },
};

#define SYSCTLS (sizeof sysctls / sizeof sysctls[0])

static void make_namespace(struct network *n)
{
	int fd = open(n->path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

	if (fd == -1)
		err(1, "%s", n->path);
	close(fd);
	if (unshare(CLONE_NEWNET) == -1)
		err(1, "unshare");
	n->ns = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	if (n->ns == -1 || mount(OWN_NETNS, n->path, NULL, MS_BIND, NULL) == -1)
		err(1, "mount");
	n->route = netlink_socket(NETLINK_ROUTE);
	n->genl = netlink_socket(NETLINK_GENERIC);
	for (size_t i = 0; i < SYSCTLS; i++)
		write_text(sysctls[i][0], sysctls[i][1]);
	if (setns(home, CLONE_NEWNET) == -1)
		err(1, "setns");
}

/* Asked for from the host's namespace, so that the encrypted packets use that one. */
static void make_link(const struct network *n)
{
	struct batch      b = { .used = 0 };
	uint32_t          mtu = MTU;
	struct nlattr    *info;

	begin(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	put(&b, IFLA_IFNAME, n->link, strlen(n->link) + 1);
	put(&b, IFLA_MTU, &mtu, sizeof mtu);
	put(&b, IFLA_NET_NS_FD, &n->ns, sizeof n->ns);
	info = put(&b, IFLA_LINKINFO, NULL, 0);
	put(&b, IFLA_INFO_KIND, WG_GENL_NAME, sizeof WG_GENL_NAME);
	end(&b, info);
	ask(host_route, &b);
}

static void put_up(struct batch *b, const char *name)
{
	struct ifinfomsg *link = begin(b, RTM_NEWLINK, 0, sizeof *link);

	link->ifi_flags = link->ifi_change = IFF_UP;
	put(b, IFLA_IFNAME, name, strlen(name) + 1);
}

static void put_route(struct batch *b, const struct network *n, unsigned host)
{
	uint32_t      address = address_of(n->port, host);
	uint32_t      ifindex = IFINDEX;
	struct rtmsg *route = begin(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof *route);

	route->rtm_family = AF_INET;
	route->rtm_dst_len = 32;
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_protocol = ROUTE_PROTOCOL;
	route->rtm_scope = RT_SCOPE_LINK;
	route->rtm_type = RTN_UNICAST;
	put(b, RTA_DST, &address, sizeof address);
	put(b, RTA_OIF, &ifindex, sizeof ifindex);
}

static void set_up(const struct network *n, unsigned peers)
{
	struct batch      b = { .used = 0 };
	struct ifaddrmsg *head;
	uint32_t          address = address_of(n->port, 1);

	put_up(&b, "lo");
	head = begin(&b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof *head);
	head->ifa_family = AF_INET;
	head->ifa_prefixlen = PREFIX;
	head->ifa_index = IFINDEX;
	put(&b, IFA_LOCAL, &address, sizeof address);
	put(&b, IFA_ADDRESS, &address, sizeof address);
	put_up(&b, n->link);
	for (unsigned i = 0; i < peers; i++) {
		put_route(&b, n, 2 + i);
		if (i % PEERS_MOST == PEERS_MOST - 1 && i + 1 < peers)
			ask(n->route, &b);
	}
	ask(n->route, &b);
}

static void dump(const struct network *n, uint16_t type, size_t bytes)
{
	struct batch b = { .used = 0 };

	begin(&b, type, NLM_F_DUMP, bytes);
	ask(n->route, &b);
}

static void read_device(const struct network *n)
{
	struct batch b = { .used = 0 };

	begin_device(&b, n, WG_CMD_GET_DEVICE, NLM_F_DUMP);
	ask(n->genl, &b);
}

static void read_text(const char *path)
{
	char text[64];
	int  fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd == -1 || read(fd, text, sizeof text) == -1)
		err(1, "%s", path);
	close(fd);
}

static void read_sysctls(const struct network *n)
{
	if (setns(n->ns, CLONE_NEWNET) == -1)
		err(1, "setns");
	for (size_t i = 0; i < SYSCTLS; i++)
		read_text(sysctls[i][0]);

	char path[PATH_BYTES];

	snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/send_redirects", n->link);
	read_text(path);
	if (setns(home, CLONE_NEWNET) == -1)
		err(1, "setns");
}

static void read_network(const struct network *n)
{
	struct stat st;

	if (stat(n->path, &st) == -1)
		err(1, "%s", n->path);
	dump(n, RTM_GETLINK, sizeof(struct ifinfomsg));
	dump(n, RTM_GETADDR, sizeof(struct ifaddrmsg));
	dump(n, RTM_GETROUTE, sizeof(struct rtmsg));
	read_sysctls(n);
	read_device(n);
}

static void take_away(struct network *n)
{
	close(n->route);
	close(n->genl);
	close(n->ns);
	if (umount2(n->path, MNT_DETACH) == -1 || unlink(n->path) == -1)
		err(1, "%s", n->path);
}

static void rounds(const char *name, void (*one)(const struct network *n), const struct network *list,
                   unsigned count, unsigned times)
{
	printf(", \"%s\": [", name);
	for (unsigned i = 0; i < times; i++) {
		double began = now_ms();

		for (unsigned k = 0; k < count; k++)
			one(&list[k]);
		printf("%s%.3f", i > 0 ? ", " : "", now_ms() - began);
	}
	printf("]");
}

static unsigned number(const char *text)
{
	char         *rest;
	unsigned long value = strtoul(text, &rest, 10);

	if (*text == '\0' || *rest != '\0' || value > 1000000)
		errx(2, "%s is no number", text);
	return (unsigned)value;
}

static struct network *begin_all(unsigned first, unsigned count)
{
	struct network *list = calloc(count, sizeof *list);

	if (list == NULL)
		err(1, "calloc");
	home = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	if (home == -1)
		err(1, "%s", OWN_NETNS);
	host_route = netlink_socket(NETLINK_ROUTE);
	find_wireguard();
	if (mkdir(DIRECTORY, 0755) == -1 && errno != EEXIST)
		err(1, "%s", DIRECTORY);
	for (unsigned i = 0; i < count; i++) {
		list[i].port = first + i;
		snprintf(list[i].link, sizeof list[i].link, "wg%u", first + i);
		snprintf(list[i].path, sizeof list[i].path, DIRECTORY "/floor-%u", first + i);
	}
	return list;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		errx(2, "usage: floor FIRST COUNT PEERS ROUNDS");

	unsigned        count = number(argv[2]), peers = number(argv[3]), times = number(argv[4]);
	struct network *list = begin_all(number(argv[1]), count);
	double          began = now_ms();

	for (unsigned i = 0; i < count; i++) {
		make_namespace(&list[i]);
		make_link(&list[i]);
		set_device(&list[i], peers);
		set_up(&list[i], peers);
	}
	printf("{\"make\": %.3f", now_ms() - began);
	rounds("read", read_network, list, count, times);
	rounds("counters", read_device, list, count, times);
	began = now_ms();
	for (unsigned i = 0; i < count; i++)
		take_away(&list[i]);
	printf(", \"remove\": %.3f}\n", now_ms() - began);
	free(list);
	return 0;
}
