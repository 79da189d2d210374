#include "base/model.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/error.h"
#include "base/fd.h"
#include "tests/support/document.h"
#include "tests/support/failing.h"

void test_model_pack(TCase *tc);

#define ALL                                                                                             \
	"{'2':" NETWORK(PRIVATE_2, ",'peers':{'" PUBLIC_1 "':{'allowed_ips':['10.0.0.4']}}") ",'1':"    \
	NETWORK(PRIVATE_1, ",'name':'first','peers':{'" PUBLIC_3                                        \
	"':{'allowed_ips':['10.0.0.3','fd00::3'],'endpoint':'203.0.113.1:5'},'" PUBLIC_2                \
	"':{'allowed_ips':[]}},'proxy':{'https://b':['10.0.0.3:1','[fd00::3]:1'],'ssh://x':null,"       \
	"'http://b':{'upstreams':['10.0.0.2:1'],'host_header':'c','max_connections':9}}") "}"

/* Network 3 stays, another one is `port`, and 9 has that MTU. */
#define SOME(port, mtu)                                                                                  \
	"{'3':" NETWORK(PRIVATE_3, ",'peers':{'" PUBLIC_1 "':{'allowed_ips':['10.0.0.4']}}") "," port    \
	NETWORK(PRIVATE_2, ",'peers':{'" PUBLIC_3 "':{'allowed_ips':['10.0.0.5']}}") ",'9':"             \
	NETWORK(PRIVATE_1, ",'mtu':" mtu ",'peers':{'" PUBLIC_2 "':{'allowed_ips':['10.0.0.6']}}") "}"

/* The bytes of ALL packed: free() them. */
static char *packed(size_t *bytes)
{
	struct model   *model = document_read(ALL, NULL);
	struct tg_error err;
	void           *packed = model_pack(model, NULL, bytes, &err);
	char           *copy = malloc(*bytes + 8);

	ck_assert_ptr_nonnull(packed);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, packed, *bytes);
	model_packed_free(packed);
	model_free(model);
	return copy;
}

/* What is there and no more is allocated: valgrind and the sanitizers see who reads on. */
static struct model *unpack(const char *data, size_t bytes, struct tg_error *err)
{
	TG_AUTO_FREE char *copy = malloc(bytes);
	struct model      *model;

	ck_assert(bytes == 0 || copy != NULL);
	if (bytes > 0)
		memcpy(copy, data, bytes);
	model = model_unpack(copy, bytes, err);
	return model;
}

/* Packs and unpacks `model`, or what `diff` says is new in it: free the result. */
static struct model *passed_on(const struct model *model, const struct model_diff *diff)
{
	struct tg_error err;
	size_t          bytes;
	void           *packed = model_pack(model, diff, &bytes, &err);
	struct model   *other = model_unpack(packed, bytes, &err);

	ck_assert_ptr_nonnull(other);
	model_packed_free(packed);
	return other;
}

START_TEST(what_is_unpacked_is_what_the_kernel_is_to_have)
{
	struct model *model = document_read(ALL, NULL);
	struct model *other = passed_on(model, NULL);

	ck_assert_uint_eq(other->networks_count, 2);
	for (size_t i = 0; i < 2; i++) {
		ck_assert(model_same_network(model, &model->networks[i], other, &other->networks[i]));
		ck_assert(tg_key_equal(&model->networks[i].public_key, &other->networks[i].public_key));
	}
	ck_assert_uint_eq(other->hosts_count, 0);
	ck_assert_uint_eq(other->networks[0].name_at, 0);
	ck_assert_str_eq(model_text(other, 0), "");
	model_free(model);
	model_free(other);
}
END_TEST

START_TEST(of_a_diff_only_what_is_added_or_changed_is_packed)
{
	struct model     *before = document_read(SOME("'5':", "1420"), NULL);
	struct model     *after = document_read(SOME("'7':", "1400"), NULL);
	struct model     *other;
	struct model_diff diff;

	ck_assert_int_eq(model_diff(before, after, &diff), 0);
	other = passed_on(after, &diff);
	ck_assert_uint_eq(other->networks_count, 2);
	ck_assert(model_same_network(after, model_find(after, 7), other, &other->networks[0]));
	ck_assert(model_same_network(after, model_find(after, 9), other, &other->networks[1]));
	model_free(other);
	model_diff_clear(&diff);

	ck_assert_int_eq(model_diff(after, after, &diff), 0);
	other = passed_on(after, &diff);
	ck_assert_uint_eq(other->networks_count, 0);
	model_free(other);
	model_diff_clear(&diff);
	model_free(before);
	model_free(after);
}
END_TEST

START_TEST(an_empty_model_can_be_packed)
{
	struct model *model = document_read("{}", NULL);
	struct model *other = passed_on(model, NULL);

	ck_assert_uint_eq(other->networks_count, 0);
	model_free(model);
	model_free(other);
}
END_TEST

START_TEST(no_prefix_and_no_longer_file_is_taken)
{
	struct tg_error err;
	size_t          bytes;
	char           *data = packed(&bytes);

	for (size_t n = 0; n < bytes; n++)
		ck_assert_msg(unpack(data, n, &err) == NULL, "after %zu bytes", n);
	data[bytes] = '\0';
	ck_assert_ptr_null(unpack(data, bytes + 1, &err));
	ck_assert_int_eq(err.code, TG_CODE_PROTOCOL);
	free(data);
}
END_TEST

/* Every byte takes other values: the model is refused, or is one that can be used as any other. */
START_TEST(a_wrong_byte_is_refused_or_harmless)
{
	static const unsigned char flips[] = { 0x01, 0x80, 0xff };
	struct tg_error            err;
	size_t                     bytes;
	char                      *data = packed(&bytes);
	size_t                     refused = 0, unused;

	for (size_t i = 0; i < bytes; i++) {
		for (size_t k = 0; k < sizeof flips; k++) {
			struct model *model;

			data[i] = (char)(data[i] ^ flips[k]);
			model = unpack(data, bytes, &err);
			data[i] = (char)(data[i] ^ flips[k]);
			if (model == NULL) {
				refused++;
				continue;
			}
			free(model_print(model, true, &unused));
			model_free(model);
		}
	}
	ck_assert_uint_gt(refused, bytes / 2);
	free(data);
}
END_TEST

/* Changes one thing in a good model's packed bytes, to which `m` points: nobody must take it then. */
typedef void spoil_fn(struct model *m);

static void spoil_port(struct model *m) { m->networks[0].port = 0; }
static void spoil_port_order(struct model *m) { m->networks[0].port = m->networks[1].port; }
static void spoil_mtu(struct model *m) { m->networks[0].mtu = 65536; }
static void spoil_name(struct model *m) { m->networks[0].name_at = 1; }
static void spoil_peers_first(struct model *m) { m->networks[1].peers_first--; }
static void spoil_peers_count(struct model *m) { m->networks[1].peers_count++; }
static void spoil_addresses(struct model *m) { m->networks[0].addresses_count = UINT32_MAX; }
static void spoil_hosts(struct model *m) { m->networks[0].hosts_count++; }
static void spoil_hosts_first(struct model *m) { m->networks[0].hosts_first++; }
static void spoil_key_order(struct model *m) { m->peers[0].public_key = m->peers[1].public_key; }
static void spoil_ranges(struct model *m) { m->peers[0].ranges_first = UINT32_MAX; }
static void spoil_endpoint(struct model *m) { m->peers[1].endpoint.port = 0; }
static void spoil_family(struct model *m) { m->cidrs[0].family = 99; }
static void spoil_prefix(struct model *m) { m->cidrs[0].prefix = 33; }
static void spoil_mask(struct model *m) { m->cidrs[1].prefix = 8; }

static spoil_fn *const spoils[] = {
	spoil_port,      spoil_port_order, spoil_mtu,         spoil_name,      spoil_peers_first,
	spoil_addresses, spoil_hosts,      spoil_hosts_first, spoil_key_order, spoil_ranges,
	spoil_endpoint,  spoil_family,     spoil_prefix,      spoil_mask,      spoil_peers_count,
};

START_TEST(a_model_out_of_order_is_refused)
{
	struct tg_error err = { .code = TG_CODE_NONE };
	size_t          bytes;
	char           *data = packed(&bytes);
	uint64_t        head[4];	/* after the magic: networks, peers, cidrs */
	struct model    m;

	memcpy(head, data, sizeof head);
	m.networks = (struct model_network *)(data + sizeof head);
	m.peers = (struct model_peer *)(m.networks + head[1]);
	m.cidrs = (struct tg_cidr *)(m.peers + head[2]);
	ck_assert_ptr_eq((char *)(m.cidrs + head[3]), data + bytes);
	spoils[_i](&m);
	ck_assert_ptr_null(unpack(data, bytes, &err));
	ck_assert_int_eq(err.code, TG_CODE_PROTOCOL);
	ck_assert_str_eq(err.text, "a packed model is not in order");
	free(data);
}
END_TEST

START_TEST(packing_without_memory_gives_nothing)
{
	struct model   *model = document_read(ALL, NULL);
	struct tg_error err = { .code = TG_CODE_NONE };
	size_t          bytes;

	failing_begin(0);
	ck_assert_ptr_null(model_pack(model, NULL, &bytes, &err));
	ck_assert(failing_end());
	ck_assert_int_eq(err.code, TG_CODE_MEMORY);
	model_free(model);
}
END_TEST

START_TEST(unpacking_without_memory_gives_nothing)
{
	size_t bytes;
	char  *data = packed(&bytes);
	bool   failed = true;

	for (size_t good = 0; failed; good++) {
		struct tg_error err;
		struct model   *model;

		failing_begin(good);
		model = unpack(data, bytes, &err);
		if (model == NULL)
			ck_assert_int_eq(err.code, TG_CODE_MEMORY);
		model_free(model);
		ck_assert_uint_eq(failing_held(), 0);
		failed = failing_end();
		ck_assert(failed == (model == NULL));
	}
	free(data);
}
END_TEST

void test_model_pack(TCase *tc)
{
	tcase_add_test(tc, what_is_unpacked_is_what_the_kernel_is_to_have);
	tcase_add_test(tc, of_a_diff_only_what_is_added_or_changed_is_packed);
	tcase_add_test(tc, an_empty_model_can_be_packed);
	tcase_add_test(tc, no_prefix_and_no_longer_file_is_taken);
	tcase_add_test(tc, a_wrong_byte_is_refused_or_harmless);
	tcase_add_loop_test(tc, a_model_out_of_order_is_refused, 0, (int)(sizeof spoils / sizeof spoils[0]));
	tcase_add_test(tc, packing_without_memory_gives_nothing);
	tcase_add_test(tc, unpacking_without_memory_gives_nothing);
}
