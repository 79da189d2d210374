#include "daemon/table.h"

#include <check.h>
#include <string.h>

#include "accounting/store.h"
#include "base/address.h"
#include "base/error.h"
#include "base/msg.h"
#include "base/snapshot.h"
#include "daemon/slots.h"
#include "proxy/routes.h"
#include "tests/support/document.h"

void test_table(TCase *tc);

static struct model           *model;
static struct slots           *slots;
static struct routes          *routes;
static struct table            table;
static struct msg_forward      forwards[2];
static struct snapshot_network live;
static struct snapshot         state;

static void begin(const char *document, uint32_t slots_most)
{
	model = document_read(document, NULL);
	slots = slots_new(slots_most);
	live = (struct snapshot_network){ .port = 51820, .state = SNAPSHOT_UP,
		                          .epoch = { .netns_cookie = 4711 } };
	live.public_key = model->networks[0].public_key;
	state = (struct snapshot){ .networks = &live, .networks_count = 1 };
	memset(forwards, 0, sizeof forwards);
	routes = NULL;
}

static int build(size_t forwards_count, struct tg_error *err)
{
	const struct table_source from = { .model = model, .state = &state, .forwards = forwards,
					   .forwards_count = forwards_count, .slots = slots, .version = 7 };
	int                       result = table_plan(&from, &table, err);

	if (result == 0)
		result = table_make(&table, err);
	if (result == 0) {
		ck_assert_uint_eq(table.version, 7);
		routes = routes_open(table.fd, NULL);
		ck_assert_ptr_nonnull(routes);
	}
	return result;
}

static void end(void)
{
	routes_close(routes);
	routes = NULL;
	table_clear(&table);
	slots_free(slots);
	model_free(model);
}

#define TWO_SCHEMES \
	",'proxy':{'https://a.example':['10.0.0.2:443'],'http://a.example':['10.0.0.2:80']," \
	"'http://b.example':['10.0.0.2:80'],'ssh://c.example':[]}"

START_TEST(both_schemes_of_a_name_have_one_slot)
{
	struct routes_host host;

	begin(DOCUMENT(TWO_SCHEMES), 16);
	ck_assert_int_eq(build(0, NULL), 0);
	ck_assert_uint_eq(table.slots_count, 2);
	ck_assert_str_eq(table.slots[0].host, "a.example");
	ck_assert_str_eq(table.slots[1].host, "b.example");
	ck_assert(routes_find(routes, ROUTES_HTTPS, "a.example", &host));
	ck_assert_uint_eq(host.slot, table.slots[0].slot);
	ck_assert_uint_eq(host.scheme[ROUTES_HTTP].upstreams[0].port, 80);
	ck_assert_uint_eq(host.scheme[ROUTES_HTTPS].upstreams[0].port, 443);
	ck_assert_uint_eq(host.network_id, 4711);
	ck_assert(!routes_find(routes, ROUTES_HTTPS, "c.example", &host));
	end();
}
END_TEST

START_TEST(a_network_that_is_not_up_as_the_document_says_has_no_cookie)
{
	struct routes_host host;

	begin(DOCUMENT(TWO_SCHEMES), 16);
	live.public_key.bytes[0] ^= 1;	/* not yet re-keyed */
	ck_assert_int_eq(build(0, NULL), 0);
	ck_assert(routes_find(routes, ROUTES_HTTP, "b.example", &host));
	ck_assert_uint_eq(host.network_id, 0);
	ck_assert_uint_eq(host.netns_cookie, 0);
	end();
}
END_TEST

START_TEST(a_forward_is_in_the_hosts_own_namespace)
{
	struct routes_host host;

	begin(DOCUMENT(""), 16);
	for (int i = 0; i < 2; i++) {
		strcpy(forwards[i].host, "gate.example");
		forwards[i].https = i == 1;
		ck_assert(tg_endpoint_read(i == 0 ? "127.0.0.1:80" : "127.0.0.1:443", &forwards[i].upstream));
	}
	ck_assert_int_eq(build(2, NULL), 0);
	ck_assert_uint_eq(table.slots_count, 0);
	ck_assert(routes_find(routes, ROUTES_HTTP, "gate.example", &host));
	ck_assert_uint_eq(host.slot, ROUTES_FORWARD);
	ck_assert_uint_eq(host.netns_cookie, 0);
	ck_assert_uint_eq(host.scheme[ROUTES_HTTP].upstreams[0].port, 80);
	ck_assert_uint_eq(host.scheme[ROUTES_HTTPS].upstreams[0].port, 443);
	end();
}
END_TEST

START_TEST(more_hosts_than_slots_make_no_table)
{
	struct tg_error err;

	begin(DOCUMENT(TWO_SCHEMES), 1);
	ck_assert_int_eq(build(0, &err), -1);
	ck_assert_int_eq(err.code, TG_CODE_LIMIT);
	end();
}
END_TEST

void test_table(TCase *tc)
{
	tcase_add_test(tc, both_schemes_of_a_name_have_one_slot);
	tcase_add_test(tc, a_network_that_is_not_up_as_the_document_says_has_no_cookie);
	tcase_add_test(tc, a_forward_is_in_the_hosts_own_namespace);
	tcase_add_test(tc, more_hosts_than_slots_make_no_table);
}
