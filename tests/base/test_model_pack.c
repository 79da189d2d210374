#include "base/model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* The bytes of ALL packed: free() them. */
static char *packed(size_t *bytes)
{
	struct model   *model = document_read(ALL, NULL);
	struct tg_error err;
	TG_AUTO_FD      fd = model_pack(model, &err);
	const void     *map;
	char           *copy;

	ck_assert_int_ne(fd, -1);
	map = tg_memfd_map(fd, 1, SIZE_MAX, bytes, &err);
	ck_assert_ptr_nonnull(map);
	copy = malloc(*bytes + 8);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, map, *bytes);
	tg_memfd_unmap(map, *bytes);
	model_free(model);
	return copy;
}

static struct model *unpack(const char *data, size_t bytes, struct tg_error *err)
{
	const struct tg_part part = { data, bytes };
	TG_AUTO_FD           fd = tg_memfd_make("test", &part, 1, err);

	ck_assert_int_ne(fd, -1);
	return model_unpack(fd, err);
}

static void same_text(const struct model *a, const struct model *b)
{
	size_t bytes;
	char  *one = model_print(a, true, &bytes);
	char  *two = model_print(b, true, &bytes);

	ck_assert_str_eq(one, two);
	free(one);
	free(two);
}

START_TEST(what_is_unpacked_is_what_was_packed)
{
	struct model     *model = document_read(ALL, NULL);
	struct tg_error   err;
	TG_AUTO_FD        fd = model_pack(model, &err);
	struct model     *other = model_unpack(fd, &err);
	struct model_diff diff;

	ck_assert_ptr_nonnull(other);
	same_text(model, other);
	ck_assert_int_eq(model_diff(model, other, &diff), 0);
	ck_assert(diff.equal);
	ck_assert_mem_eq(model->networks, other->networks, 2 * sizeof *model->networks);
	model_diff_clear(&diff);
	model_free(model);
	model_free(other);
}
END_TEST

START_TEST(an_empty_model_can_be_packed)
{
	struct model   *model = document_read("{}", NULL);
	struct tg_error err;
	TG_AUTO_FD      fd = model_pack(model, &err);
	struct model   *other = model_unpack(fd, &err);

	ck_assert_ptr_nonnull(other);
	same_text(model, other);
	model_free(model);
	model_free(other);
}
END_TEST

START_TEST(an_unsealed_file_is_refused)
{
	struct tg_error err;
	size_t          bytes;
	char           *data = packed(&bytes);
	TG_AUTO_FD      fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_eq(write(fd, data, bytes), (ssize_t)bytes);
	ck_assert_ptr_null(model_unpack(fd, &err));
	ck_assert_int_eq(err.code, TG_CODE_PROTOCOL);
	free(data);
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
	size_t                     refused = 0;

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
			same_text(model, model);
			model_free(model);
		}
	}
	ck_assert_uint_gt(refused, bytes);
	free(data);
}
END_TEST

/* Changes one thing in a good model and packs it: the other process must not take it. */
typedef void spoil_fn(struct model *model);

static void spoil_port(struct model *m) { m->networks[0].port = 0; }
static void spoil_port_order(struct model *m) { m->networks[0].port = m->networks[1].port; }
static void spoil_mtu(struct model *m) { m->networks[0].mtu = 65536; }
static void spoil_name(struct model *m) { m->networks[0].name_at = (uint32_t)m->texts_bytes; }
static void spoil_peers_first(struct model *m) { m->networks[1].peers_first--; }
static void spoil_peers_count(struct model *m) { m->networks[1].peers_count++; }
static void spoil_addresses(struct model *m) { m->networks[0].addresses_count = UINT32_MAX; }
static void spoil_hosts(struct model *m) { m->networks[0].hosts_count--; }
static void spoil_key_order(struct model *m) { m->peers[0].public_key = m->peers[1].public_key; }
static void spoil_ranges(struct model *m) { m->peers[0].ranges_first = UINT32_MAX; }
static void spoil_endpoint(struct model *m) { m->peers[1].endpoint.port = 0; }
static void spoil_family(struct model *m) { m->cidrs[0].family = 99; }
static void spoil_prefix(struct model *m) { m->cidrs[0].prefix = 33; }
static void spoil_mask(struct model *m) { m->cidrs[1].prefix = 8; }
static void spoil_scheme(struct model *m) { m->hosts[0].scheme = 3; }
static void spoil_protocol(struct model *m) { m->hosts[0].proxy_protocol = 3; }
static void spoil_redirect(struct model *m) { m->hosts[0].redirect_to_https = 2; }
static void spoil_host(struct model *m) { m->hosts[0].name_at = 0; }
static void spoil_header(struct model *m) { m->hosts[0].host_header_at = UINT32_MAX; }
static void spoil_raw(struct model *m) { m->hosts[2].raw_at = 0; }
static void spoil_host_order(struct model *m) { m->hosts[0].scheme = MODEL_HTTPS; }
static void spoil_upstream(struct model *m) { m->upstreams[0].family = 0; }
static void spoil_upstreams(struct model *m) { m->hosts[0].upstreams_count = 2; }
static void spoil_host_name(struct model *m) { m->texts[m->hosts[0].name_at] = 'B'; }
static void spoil_first_text(struct model *m) { m->texts[0] = 'x'; }
static void spoil_last_text(struct model *m) { m->texts[m->texts_bytes - 1] = 'x'; }

static spoil_fn *const spoils[] = {
	spoil_port,      spoil_port_order, spoil_mtu,        spoil_name,      spoil_peers_first,
	spoil_addresses, spoil_hosts,      spoil_key_order,  spoil_ranges,    spoil_peers_count,
	spoil_endpoint,  spoil_family,     spoil_prefix,     spoil_mask,      spoil_scheme,
	spoil_protocol,  spoil_redirect,   spoil_host,       spoil_header,    spoil_raw,
	spoil_upstream,  spoil_upstreams,  spoil_host_order, spoil_host_name, spoil_first_text,
	spoil_last_text,
};

START_TEST(a_model_out_of_order_is_refused)
{
	struct model   *model = document_read(ALL, NULL);
	struct tg_error err = { .code = TG_CODE_NONE };
	TG_AUTO_FD      fd = -1;

	spoils[_i](model);
	fd = model_pack(model, &err);
	ck_assert_int_ne(fd, -1);
	ck_assert_ptr_null(model_unpack(fd, &err));
	ck_assert_int_eq(err.code, TG_CODE_PROTOCOL);
	ck_assert_str_eq(err.text, "a packed model is not in order");
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
	tcase_add_test(tc, what_is_unpacked_is_what_was_packed);
	tcase_add_test(tc, an_empty_model_can_be_packed);
	tcase_add_test(tc, an_unsealed_file_is_refused);
	tcase_add_test(tc, no_prefix_and_no_longer_file_is_taken);
	tcase_add_test(tc, a_wrong_byte_is_refused_or_harmless);
	tcase_add_loop_test(tc, a_model_out_of_order_is_refused, 0, (int)(sizeof spoils / sizeof spoils[0]));
	tcase_add_test(tc, unpacking_without_memory_gives_nothing);
}
