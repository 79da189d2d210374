#include "base/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <check.h>

#include "tests/support/document.h"
#include "tests/support/failing.h"

void test_model_print(TCase *tc);

#define PEERS                                                                                       \
	"'" PUBLIC_3 "':{'allowed_ips':['10.0.0.3','10.0.0.2'],'endpoint':'203.0.113.1:5'},"         \
	"'" PUBLIC_2 "':{'allowed_ips':[],'preshared_key':'" PRIVATE_3 "'}"
#define HOSTS                                                                                       \
	"'https://b':['10.0.0.3:1','10.0.0.2:1'],'ssh://x':null,"                                   \
	"'http://b':{'upstreams':['10.0.0.2:1'],'host_header':'c'},'https://a':['10.0.0.2:1']"
#define NAMED ",'name':'A \\u0022b\\u0022','mtu':1300,'peers':{" PEERS "},'proxy':{" HOSTS "}"
#define ALL   "{'51821':" NETWORK(PRIVATE_2, "") ",'9':" NETWORK(PRIVATE_1, NAMED) "}"

static char *print(const struct model *model, bool secrets)
{
	size_t bytes;
	char  *text = model_print(model, secrets, &bytes);

	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(strlen(text), bytes);
	return text;
}

START_TEST(the_text_is_sorted_and_complete)
{
	struct model *model = document_read(ALL, NULL);
	char         *text = print(model, true);
	char         *wanted = document_text(
		"{\n"
		"  '9': {\n"
		"    'name': 'A \\'b\\'',\n"
		"    'private_key': '" PRIVATE_1 "',\n"
		"    'address': ['10.0.0.1/16'],\n"
		"    'mtu': 1300,\n"
		"    'peers': {\n"
		"      '" PUBLIC_2 "': { 'preshared_key': '" PRIVATE_3 "', 'allowed_ips': [], "
		"'endpoint': null, 'persistent_keepalive': 25 },\n"
		"      '" PUBLIC_3 "': { 'preshared_key': null, 'allowed_ips': ['10.0.0.2/32', "
		"'10.0.0.3/32'], "
		"'endpoint': '203.0.113.1:5', 'persistent_keepalive': 25 }\n"
		"    },\n"
		"    'proxy': {\n"
		"      'https://a': ['10.0.0.2:1'],\n"
		"      'http://b': { 'upstreams': ['10.0.0.2:1'], 'proxy_protocol': null, "
		"'max_connections': null, 'redirect_to_https': false, 'host_header': 'c' },\n"
		"      'https://b': ['10.0.0.3:1', '10.0.0.2:1'],\n"
		"      'ssh://x': null\n"
		"    }\n"
		"  },\n"
		"  '51821': {\n"
		"    'private_key': '" PRIVATE_2 "',\n"
		"    'address': ['10.0.0.1/16'],\n"
		"    'mtu': 1420,\n"
		"    'peers': {},\n"
		"    'proxy': {}\n"
		"  }\n"
		"}\n");

	ck_assert_str_eq(text, wanted);
	free(wanted);
	free(text);
	model_free(model);
}
END_TEST

START_TEST(what_is_printed_reads_as_the_same)
{
	struct model *model = document_read(ALL, NULL);
	char         *text = print(model, true);
	struct model *again;
	char         *same;

	ck_assert_int_eq(model_parse(text, strlen(text), &again, NULL, NULL), MODEL_OK);
	same = print(again, true);
	ck_assert_str_eq(same, text);
	free(same);
	free(text);
	model_free(again);
	model_free(model);
}
END_TEST

START_TEST(secrets_are_kept_back)
{
	struct model *model = document_read(ALL, NULL);
	char         *text = print(model, false);

	ck_assert_ptr_null(strstr(text, PRIVATE_1));
	ck_assert_ptr_null(strstr(text, PRIVATE_2));
	ck_assert_ptr_null(strstr(text, PRIVATE_3));
	ck_assert_ptr_nonnull(strstr(text, "\"private_key\": null"));
	ck_assert_ptr_nonnull(strstr(text, PUBLIC_2));
	free(text);
	model_free(model);
}
END_TEST

START_TEST(printing_without_memory_gives_nothing)
{
	struct model *model = document_read(ALL, NULL);
	bool          failed = true;

	for (size_t good = 0; failed; good++) {
		size_t bytes;
		char  *text;

		failing_begin(good);
		text = model_print(model, true, &bytes);
		failed = failing_end();
		ck_assert(failed == (text == NULL));
		ck_assert_uint_eq(failing_held(), text != NULL);
		free(text);
	}
	failed = true;
	for (size_t good = 0; failed; good++) {
		struct model_printed before, next;
		int                  result;

		ck_assert_int_eq(model_print_next(model, NULL, NULL, &before), 0);
		failing_begin(good);
		result = model_print_next(model, model, &before, &next);
		failed = failing_end();
		ck_assert_int_eq(result, failed ? -1 : 0);
		ck_assert_uint_eq(failing_held(), failed ? 0 : 2);
		ck_assert(failed == (next.text == NULL));
		model_printed_clear(&next);
		model_printed_clear(&before);
	}
	model_free(model);
}
END_TEST

/* A line of what was printed before that nobody would print shows that it was copied. */
START_TEST(what_is_equal_is_copied)
{
	static const char end[] = ",'proxy':{'ssh://\\n  }\\n':{'a':'\\n  }'}}";
	char                 changed[1024];
	struct model        *before, *after;
	struct model_printed text, next;
	char                *line;

	snprintf(changed, sizeof changed, "{'7':" NETWORK(PRIVATE_1, "%s") ",'8':" NETWORK(PRIVATE_2, "%s")
	         ",'9':" NETWORK(PRIVATE_3, "") "}", end, end);
	before = document_read(changed, NULL);
	snprintf(changed, sizeof changed, "{'6':" NETWORK(PRIVATE_1, "%s") ",'8':" NETWORK(PRIVATE_2, "%s")
	         ",'9':" NETWORK(PRIVATE_3, ",'mtu':1300") "}", end, end);
	after = document_read(changed, NULL);
	ck_assert_int_eq(model_print_next(before, NULL, NULL, &text), 0);
	ck_assert_int_eq(model_print_next(after, before, &text, &next), 0);
	line = print(after, true);
	ck_assert_str_eq(next.text, line);
	free(line);
	model_printed_clear(&next);
	for (line = strstr(text.text, "1420"); line != NULL; line = strstr(line, "1420"))
		memcpy(line, "1333", 4);
	ck_assert_int_eq(model_print_next(after, before, &text, &next), 0);
	ck_assert_uint_eq(strlen(next.text), next.bytes);
	line = strstr(next.text, "\"6\"");
	ck_assert_int_eq(strncmp(strstr(line, "\"mtu\""), "\"mtu\": 1420", 11), 0);
	line = strstr(next.text, "\"8\"");
	ck_assert_int_eq(strncmp(strstr(line, "\"mtu\""), "\"mtu\": 1333", 11), 0);
	line = strstr(next.text, "\"9\"");
	ck_assert_int_eq(strncmp(strstr(line, "\"mtu\""), "\"mtu\": 1300", 11), 0);
	model_printed_clear(&next);
	model_printed_clear(&text);
	model_free(before);
	model_free(after);
}
END_TEST

START_TEST(each_network_of_a_text_is_found_there)
{
	static const char    text[] = "{'7':" NETWORK(PRIVATE_1, "") ",'8':" NETWORK(PRIVATE_2, "") ",'9':"
				      NETWORK(PRIVATE_3, ",'mtu':1300") "}";
	struct model        *model = document_read(text, NULL);
	struct model_printed printed;
	const char          *end = NULL;

	ck_assert_int_eq(model_print_next(model, NULL, NULL, &printed), 0);
	for (size_t i = 0; i < 3; i++) {
		size_t      bytes;
		const char *at = model_printed_network(&printed, i, &bytes);
		char        begin[] = "  \"7\": {\n";

		begin[3] = (char)('7' + i);
		ck_assert_int_eq(strncmp(at, begin, strlen(begin)), 0);
		ck_assert_int_eq(strncmp(at + bytes - 4, "\n  }", 4), 0);
		ck_assert_ptr_eq(at, end == NULL ? printed.text + 2 : end + 2);
		end = at + bytes;
	}
	ck_assert_str_eq(end, "\n}\n");
	model_printed_clear(&printed);
	model_free(model);
}
END_TEST

/* Appends a network with so many peers and a host name for each; every key is its own. */
static size_t put_network(char *text, unsigned port, unsigned peers)
{
	struct tg_key key = { .bytes = { 8, (uint8_t)port, (uint8_t)(port >> 8) } };
	char          base64[TG_KEY_TEXT];
	size_t        at;

	at = (size_t)sprintf(text, "%s\"%u\":{\"private_key\":\"%s\",\"address\":[\"10.0.0.1/8\"],"
	                     "\"peers\":{",
	                     port > 1 ? "," : "", port, tg_key_print(&key, base64));
	for (unsigned i = 0; i < peers; i++) {
		struct tg_key peer = { .bytes = { 1, (uint8_t)(i * 167), (uint8_t)(i >> 8), (uint8_t)i } };

		at += (size_t)sprintf(text + at, "%s\"%s\":{\"allowed_ips\":[\"10.%u.%u.2\"]}",
		                      i > 0 ? "," : "", tg_key_print(&peer, base64), i >> 8, i & 255);
	}
	at += (size_t)sprintf(text + at, "},\"proxy\":{");
	for (unsigned i = 0; i < peers; i++)
		at += (size_t)sprintf(text + at, "%s\"https://h%u.n%u.example\":[\"10.%u.%u.2:443\"]",
		                      i > 0 ? "," : "", i, port, i >> 8, i & 255);
	return at + (size_t)sprintf(text + at, "}}");
}

/* Without X25519, whose results are remembered, such a document takes some 40 ms at most.  A search that
 * grows with the square of its size would take seconds. */
static void round_trip_is_quick(unsigned networks, unsigned peers)
{
	char         *text = malloc(64 + (size_t)networks * (256 + (size_t)peers * 200));
	size_t        at = 1;
	struct model *model = NULL;
	clock_t       begin = 0;
	double        took_s;

	ck_assert_ptr_nonnull(text);
	text[0] = '{';
	for (unsigned i = 1; i <= networks; i++)
		at += put_network(text + at, i, peers);
	text[at++] = '}';
	for (int round = 0; round < 2; round++) {
		model_free(model);
		begin = clock();
		ck_assert_int_eq(model_parse(text, at, &model, NULL, NULL), MODEL_OK);
	}
	free(print(model, true));
	took_s = (double)(clock() - begin) / CLOCKS_PER_SEC;
	ck_assert_msg(took_s < 0.5, "took %f s", took_s);
	ck_assert_uint_eq(model->peers_count, (size_t)networks * peers);
	model_free(model);
	free(text);
}

START_TEST(many_networks_are_quick)
{
	round_trip_is_quick(500, 3);
}
END_TEST

START_TEST(many_peers_are_quick)
{
	round_trip_is_quick(1, 10000);
}
END_TEST

void test_model_print(TCase *tc)
{
	tcase_add_test(tc, the_text_is_sorted_and_complete);
	tcase_add_test(tc, what_is_printed_reads_as_the_same);
	tcase_add_test(tc, secrets_are_kept_back);
	tcase_add_test(tc, printing_without_memory_gives_nothing);
	tcase_add_test(tc, what_is_equal_is_copied);
	tcase_add_test(tc, each_network_of_a_text_is_found_there);
	tcase_add_test(tc, many_networks_are_quick);
	tcase_add_test(tc, many_peers_are_quick);
}
