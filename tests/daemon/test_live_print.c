#include "daemon/live_print.h"

#include <cjson/cJSON.h>
#include <check.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/model.h"
#include "base/snapshot.h"
#include "tests/support/control.h"
#include "tests/support/document.h"

void test_live_print(TCase *tc);

#define NETWORK_2 "'51821':{'private_key':'" PRIVATE_2 "','address':['fd00::1/64']}"

static struct model           *model;
static struct snapshot_network networks[1];
static struct snapshot_peer    peers[2];
static struct tg_cidr          ranges[2];
static struct snapshot         live;

static void begin(const char *document)
{
	memset(peers, 0, sizeof peers);
	model = document_read(document, NULL);
	control_network_up(&networks[0], 51820, PUBLIC_1);
	networks[0].peers_count = 2;
	ck_assert(tg_key_read(PUBLIC_2, strlen(PUBLIC_2), &peers[0].public_key));
	ck_assert(tg_key_read(PUBLIC_3, strlen(PUBLIC_3), &peers[1].public_key));
	ck_assert(tg_endpoint_read("[2001:db8::1]:9", &peers[0].endpoint));
	ck_assert(tg_cidr_read("10.0.0.2/32", &ranges[0]));
	ck_assert(tg_cidr_read("fd00:1::/64", &ranges[1]));
	peers[0].ranges_count = 2;
	peers[0].rx = UINT64_C(9007199254740993);	/* no double holds it */
	peers[0].tx = 7;
	peers[0].handshake_unix_s = 1000;
	live = (struct snapshot){ .networks = networks, .networks_count = 1, .peers = peers, .peers_count = 2,
		                  .ranges = ranges, .ranges_count = 2 };
}

/* Takes the text out of `to`: free() it. */
static char *text_of(struct evbuffer *to)
{
	size_t bytes = evbuffer_get_length(to);
	char  *text = calloc(1, bytes + 1);

	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(evbuffer_remove(to, text, bytes), (int)bytes);
	evbuffer_free(to);
	return text;
}

static char *networks_text(uint16_t port)
{
	struct evbuffer *to = evbuffer_new();

	ck_assert_int_eq(live_print_networks(to, model, &live, port, "network-"), LIVE_PRINTED);
	return text_of(to);
}

#define PEER_1 \
	"{'endpoint':'[2001:db8::1]:9','allowed_ips':['10.0.0.2/32','fd00:1::/64']," \
	"'latest_handshake':1000,'rx':9007199254740993,'tx':7,'connected':false}"
#define PEER_2 "{'endpoint':null,'allowed_ips':[],'latest_handshake':null,'rx':0,'tx':0,'connected':false}"
#define PEERS  "{'" PUBLIC_2 "':" PEER_1 ",'" PUBLIC_3 "':" PEER_2 "}"
#define FIRST(name) \
	"{'port':51820,'name':" name ",'public_key':'" PUBLIC_1 "','netns':'network-51820'," \
	"'interface':'wg51820','wireguard':'userspace','state':'up','address':['10.0.0.1/16']," \
	"'mtu':1420,'peers':" PEERS "}"
#define SECOND \
	"{'port':51821,'name':null,'public_key':'" PUBLIC_2 "','netns':'network-51821'," \
	"'interface':'wg51821','wireguard':'userspace','state':'failed','reason':'it is being brought up'," \
	"'address':['fd00::1/64'],'mtu':1420,'peers':{}}"

static void is(char *text, const char *expected)
{
	char *json = document_text(expected);

	ck_assert_str_eq(text, json);
	free(json);
	free(text);
}

START_TEST(networks_are_those_of_the_document_as_they_are_seen)
{
	begin("{'51820':" NETWORK(PRIVATE_1, ",'name':'a'") "," NETWORK_2 "}");
	is(networks_text(0), "{'51820':" FIRST("'a'") ",'51821':" SECOND "}");
	is(networks_text(51820), FIRST("'a'"));
	is(networks_text(51821), SECOND);
	model_free(model);
	begin("{}");
	is(networks_text(0), "{}");
	model_free(model);
}
END_TEST

START_TEST(a_peer_is_connected_while_its_handshake_is_young)
{
	struct evbuffer *to = evbuffer_new();
	struct tg_key    second = { { 0 } };

	begin(DOCUMENT(""));
	second = peers[1].public_key;
	peers[1].handshake_unix_s = tg_clock_unix_ms() / 1000;
	ck_assert_int_eq(live_print_peers(to, model, &live, 51820, &second), LIVE_PRINTED);

	char *text = text_of(to);

	ck_assert_ptr_nonnull(strstr(text, "\"connected\":true}"));
	free(text);
	model_free(model);
}
END_TEST

START_TEST(peers_are_found_by_network_and_key)
{
	struct evbuffer *to = evbuffer_new();

	begin(DOCUMENT(""));
	ck_assert_int_eq(live_print_peers(to, model, &live, 51820, NULL), LIVE_PRINTED);
	is(text_of(to), PEERS);
	to = evbuffer_new();
	ck_assert_int_eq(live_print_peers(to, model, &live, 51820, &peers[1].public_key), LIVE_PRINTED);
	is(text_of(to), PEER_2);
	to = evbuffer_new();
	ck_assert_int_eq(live_print_peers(to, model, &live, 51821, NULL), LIVE_PRINTED);
	is(text_of(to), "{}");
	to = evbuffer_new();
	ck_assert_int_eq(live_print_peers(to, model, &live, 51820, &networks[0].public_key), LIVE_NOT_FOUND);
	ck_assert_int_eq(live_print_peers(to, model, &live, 51821, &peers[1].public_key), LIVE_NOT_FOUND);
	ck_assert_int_eq(live_print_networks(to, model, &live, 51821, "network-"), LIVE_NOT_FOUND);
	evbuffer_free(to);
	model_free(model);
}
END_TEST

/* Not to be had is not the same as not there: a client would put it anew. */
START_TEST(a_peer_of_the_document_that_cannot_be_seen_is_no_unknown_one)
{
	struct evbuffer *to = evbuffer_new();

	begin(DOCUMENT(",'peers':{'" PUBLIC_2 "':{'allowed_ips':[]},'" PUBLIC_3 "':{'allowed_ips':[]}}"));
	networks[0].peers_count = 0;
	for (uint32_t i = 0; i < model->peers_count; i++)
		ck_assert_int_eq(live_print_peers(to, model, &live, 51820, &model->peers[i].public_key),
		                 LIVE_NOT_SEEN);
	live.networks_count = 0;
	ck_assert_int_eq(live_print_peers(to, model, &live, 51820, &model->peers[0].public_key),
	                 LIVE_NOT_SEEN);
	evbuffer_free(to);
	model_free(model);
}
END_TEST

static void string_is(const cJSON *object, const char *name, const char *expected)
{
	ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name)), expected);
}

/* A name is the tenant's, a reason may hold what a program said. */
START_TEST(what_others_wrote_is_read_back_as_they_wrote_it)
{
	static const char reason[] = "it said:\n\t\"no\\way\"\x01\x1f\x7f \xe2\x82\xac";

	begin("{'51820':" NETWORK(PRIVATE_1, ",'name':'\xe2\x82\xac \\\\ /'") "}");
	networks[0].state = SNAPSHOT_FAILED;
	memcpy(networks[0].reason, reason, sizeof reason);

	char  *text = networks_text(51820);
	cJSON *json = cJSON_Parse(text);

	ck_assert_ptr_nonnull(json);
	for (const char *c = text; *c != '\0'; c++)
		ck_assert_uint_ge((unsigned char)*c, 0x20);
	string_is(json, "name", "\xe2\x82\xac \\ /");
	string_is(json, "reason", reason);
	cJSON_Delete(json);
	free(text);
	model_free(model);
}
END_TEST

struct limit {
	unsigned left;	/* additions that still go well */
};

static void on_added(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
	struct limit *limit = arg;

	(void)info;
	if (limit->left-- == 0)
		evbuffer_freeze(buffer, 0);
}

/* Whichever addition finds no memory, the answer is not one that lacks something. */
START_TEST(a_text_that_lacks_something_is_none)
{
	enum live_result result = LIVE_NO_MEMORY;
	unsigned         good = 0;

	begin("{'51820':" NETWORK(PRIVATE_1, ",'name':'a\\\\b'") "," NETWORK_2 "}");
	for (; result == LIVE_NO_MEMORY; good++) {
		struct evbuffer *to = evbuffer_new();
		struct limit     limit = { good };

		ck_assert_ptr_nonnull(evbuffer_add_cb(to, on_added, &limit));
		result = live_print_networks(to, model, &live, 0, "network-");
		evbuffer_free(to);
		ck_assert_uint_lt(good, 1000);
	}
	ck_assert_int_eq(result, LIVE_PRINTED);
	ck_assert_uint_gt(good, 20);
	model_free(model);
}
END_TEST

void test_live_print(TCase *tc)
{
	tcase_add_test(tc, networks_are_those_of_the_document_as_they_are_seen);
	tcase_add_test(tc, a_peer_is_connected_while_its_handshake_is_young);
	tcase_add_test(tc, peers_are_found_by_network_and_key);
	tcase_add_test(tc, a_peer_of_the_document_that_cannot_be_seen_is_no_unknown_one);
	tcase_add_test(tc, what_others_wrote_is_read_back_as_they_wrote_it);
	tcase_add_test(tc, a_text_that_lacks_something_is_none);
}
