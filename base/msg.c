#include "base/msg.h"

#include <assert.h>

#define FROM(role)    (1U << MSG_ROLE_##role)
#define TO(role)      (1U << MSG_ROLE_##role)
#define ALL_ROLES     (TO(ENGINE) | TO(BROKER) | TO(CONTROL) | TO(WORKER))
#define HEADER_BYTES  offsetof(struct msg, body)
#define BODY(member)  sizeof(((struct msg *)0)->body.member)
#define VALUE	      SIZE_MAX	/* one descriptor, or a value behind the body */

static const char *const role_names[MSG_ROLES] = {
	[MSG_ROLE_SUPERVISOR] = "supervisor",
	[MSG_ROLE_ENGINE] = "engine",
	[MSG_ROLE_BROKER] = "broker",
	[MSG_ROLE_CONTROL] = "control",
	[MSG_ROLE_WORKER] = "worker",
};

/* Who may say what to whom, how large it is, and how many descriptors come with it. */
static const struct {
	const char *name;
	size_t      body_bytes;
	unsigned    from, to;
	size_t      fds_least, fds_most;
} table[MSG_TYPES] = {
	[MSG_START] = { "START", BODY(start), FROM(SUPERVISOR), ALL_ROLES, 0, 0 },
	[MSG_CHANNEL] = { "CHANNEL", BODY(channel), FROM(SUPERVISOR), ALL_ROLES, 1, 1 },
	[MSG_LISTENER] = { "LISTENER", BODY(listening), FROM(SUPERVISOR), TO(CONTROL) | TO(WORKER), 1, 1 },
	[MSG_FILE] = { "FILE", BODY(file), FROM(SUPERVISOR), TO(CONTROL) | TO(WORKER), 1, 1 },
	[MSG_FORWARD] = { "FORWARD", BODY(forward), FROM(SUPERVISOR), TO(CONTROL), 0, 0 },
	[MSG_SEGMENT] = { "SEGMENT", BODY(segment), FROM(SUPERVISOR), TO(CONTROL) | TO(WORKER), 1, 1 },
	[MSG_ACTIVE] = { "ACTIVE", BODY(none), FROM(SUPERVISOR), TO(WORKER), 1, 1 },
	[MSG_GO] = { "GO", BODY(none), FROM(SUPERVISOR), ALL_ROLES, 0, 0 },
	[MSG_STOP] = { "STOP", BODY(none), FROM(SUPERVISOR), ALL_ROLES, 0, 0 },
	[MSG_DOWN] = { "DOWN", BODY(down), FROM(SUPERVISOR), TO(CONTROL), 0, 0 },
	[MSG_READY] = { "READY", BODY(none), ALL_ROLES, TO(SUPERVISOR), 0, 0 },
	[MSG_SEGMENT_DONE] = { "SEGMENT_DONE", BODY(segment_done), FROM(CONTROL), TO(SUPERVISOR), 0, 0 },
	[MSG_WORKER_STUCK] = { "WORKER_STUCK", BODY(worker), FROM(CONTROL), TO(SUPERVISOR), 0, 0 },
	[MSG_DESIRED] = { "DESIRED", BODY(desired), FROM(CONTROL), TO(ENGINE), VALUE, VALUE },
	[MSG_LEDGER] = { "LEDGER", BODY(ledger), FROM(ENGINE), TO(CONTROL), VALUE, VALUE },
	[MSG_LEDGER_DONE] = { "LEDGER_DONE", BODY(ledger_done), FROM(CONTROL), TO(ENGINE), 0, 0 },
	[MSG_NETWORKS] = { "NETWORKS", BODY(networks), FROM(ENGINE), TO(CONTROL), 0, 1 },
	[MSG_ROUTED] = { "ROUTED", BODY(routed), FROM(CONTROL), TO(ENGINE), 0, 0 },
	[MSG_LOOK] = { "LOOK", BODY(look), FROM(CONTROL), TO(ENGINE), 0, 0 },
	[MSG_SNAPSHOT] = { "SNAPSHOT", BODY(snapshot), FROM(ENGINE), TO(CONTROL), 1, 1 },
	[MSG_ROUTES] = { "ROUTES", BODY(routes), FROM(CONTROL), TO(WORKER), 1, 1 },
	[MSG_ROUTES_DONE] = { "ROUTES_DONE", BODY(routes), FROM(WORKER), TO(CONTROL), 0, 0 },
	[MSG_SOCKETS_WANTED] = { "SOCKETS_WANTED", BODY(sockets_wanted), FROM(WORKER), TO(BROKER), 0, 0 },
	[MSG_SOCKETS] = { "SOCKETS", BODY(sockets), FROM(BROKER), TO(WORKER), 0, MSG_FDS_MOST },
	[MSG_NETNS_ADD] = { "NETNS_ADD", BODY(netns), FROM(ENGINE), TO(BROKER), 1, 1 },
	[MSG_NETNS_REMOVE] = { "NETNS_REMOVE", BODY(netns), FROM(ENGINE), TO(BROKER), 0, 0 },
	[MSG_NETNS_DONE] = { "NETNS_DONE", BODY(netns), FROM(BROKER), TO(ENGINE), 0, 0 },
};

const char *msg_role_name(enum msg_role role)
{
	assert(role < MSG_ROLES);
	return role_names[role];
}

const char *msg_type_name(uint32_t type)
{
	return type < MSG_TYPES ? table[type].name : "NONE";
}

size_t msg_bytes(enum msg_type type)
{
	assert(type < MSG_TYPES);
	return HEADER_BYTES + table[type].body_bytes;
}

const void *msg_value(const struct msg *msg)
{
	return (const uint8_t *)msg + msg_bytes((enum msg_type)msg->type);
}

static bool fds_allowed(const struct msg *msg, size_t fds)
{
	if (table[msg->type].fds_least == VALUE)
		return msg->value_bytes <= MSG_VALUE_MOST && fds == (msg->value_bytes == 0);
	return msg->value_bytes == 0 && fds >= table[msg->type].fds_least &&
	       fds <= table[msg->type].fds_most;
}

bool msg_allowed(const struct msg *msg, size_t bytes, size_t fds, enum msg_role from, enum msg_role to)
{
	if (bytes < HEADER_BYTES || msg->type >= MSG_TYPES || !fds_allowed(msg, fds))
		return false;
	return bytes == HEADER_BYTES + table[msg->type].body_bytes + msg->value_bytes &&
	       (table[msg->type].from & 1U << from) != 0 && (table[msg->type].to & 1U << to) != 0;
}
