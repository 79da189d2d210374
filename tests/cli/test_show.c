#include <cjson/cJSON.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/show.h"

void test_show(TCase *tc);

static char  *text;
static size_t text_bytes;

static struct show begin(bool colours)
{
	return (struct show){ .to = open_memstream(&text, &text_bytes), .colours = colours };
}

static void expect(struct show *show, const char *expected)
{
	fclose(show->to);
	ck_assert_str_eq(text, expected);
	free(text);
}

static const char network[] =
        "{\"port\":51820,\"name\":\"office\",\"public_key\":\"PUB=\",\"netns\":\"network-51820\","
        "\"interface\":\"wg51820\",\"wireguard\":\"kernel\",\"state\":\"up\",\"address\":[\"10.0.0.1/"
        "16\",\"fd00::1/64\"],"
        "\"mtu\":1420,\"peers\":{\"PEER=\":{\"endpoint\":\"192.0.2.1:5555\",\"allowed_ips\":[\"10.0.0.2/"
        "32\"],"
        "\"latest_handshake\":1000,\"rx\":1536,\"tx\":3145728,\"connected\":true},"
        "\"IDLE=\":{\"endpoint\":null,\"allowed_ips\":[],\"latest_handshake\":null,\"rx\":0,\"tx\":0}}}";

START_TEST(status_reads_like_wg_show)
{
	struct show show = begin(false);
	cJSON      *json = cJSON_Parse(network);

	show_network(&show, json, 1063);
	cJSON_Delete(json);
	expect(&show, "network: 51820 (office)\n"
	              "  public key: PUB=\n"
	              "  namespace: network-51820\n"
	              "  interface: wg51820\n"
	              "  wireguard: kernel\n"
	              "  address: 10.0.0.1/16, fd00::1/64\n"
	              "  mtu: 1420\n"
	              "\n"
	              "  peer: PEER=\n"
	              "    endpoint: 192.0.2.1:5555\n"
	              "    allowed ips: 10.0.0.2/32\n"
	              "    latest handshake: 1 minute, 3 seconds ago\n"
	              "    transfer: 1.50 KiB received, 3.00 MiB sent\n"
	              "\n"
	              "  peer: IDLE=\n"
	              "    allowed ips: (none)\n");
}
END_TEST

START_TEST(a_failed_network_says_why)
{
	struct show show = begin(false);
	cJSON *json =
	        cJSON_Parse("{\"port\":5,\"name\":null,\"state\":\"failed\",\"reason\":\"port in use\"}");

	show_network(&show, json, 0);
	cJSON_Delete(json);
	fclose(show.to);
	ck_assert_ptr_eq(strstr(text, "network: 5\n  failed: port in use\n"), text);
	free(text);
}
END_TEST

START_TEST(colours_are_for_terminals)
{
	struct show show = begin(true);

	show_styled(&show, SHOW_PEER, "x");
	expect(&show, "\033[1;33mx\033[0m");
	setenv("TERM", "xterm", 1);
	show = show_on(stdout);
	ck_assert(!show.colours || isatty(1));
	setenv("NO_COLOR", "1", 1);
	ck_assert(!show_on(stdout).colours);
}
END_TEST

START_TEST(what_tenants_wrote_does_not_steer_the_terminal)
{
	struct show show = begin(false);

	show_text(&show, "a\033[2Jb\nc\x7f ü");
	expect(&show, "a?[2Jb?c? ü");
}
END_TEST

START_TEST(an_error_lists_every_place)
{
	struct show show = begin(false);

	show_error(&show, 400,
	           "{\"error\":{\"code\":\"CONFIG_INVALID\",\"message\":\"2 faults\",\"details\":["
	           "{\"path\":\"/51820/mtu\",\"message\":\"too small\"},"
	           "{\"path\":\"\",\"message\":\"not an object\"}]}}");
	expect(&show, "tollgate: CONFIG_INVALID: 2 faults\n  /51820/mtu: too small\n  /: not an object\n");
	show = begin(false);
	show_error(&show, 502, "<html>\n");
	expect(&show, "tollgate: the answer has status 502: <html>?\n");
	show = begin(false);
	show_error(&show, 500, NULL);
	expect(&show, "tollgate: the answer has status 500\n");
	show = begin(false);
	show_error(&show, 500, "{\"error\":{\"code\":7,\"details\":{\"a\":[]}}}");
	expect(&show, "tollgate: : \n  /: \n");
}
END_TEST

static const char report[] =
        "{\"generation\":7,\"dry_run\":true,\"duration_ms\":12.44,\"networks\":{\"added\":[\"51821\"],"
        "\"changed\":[\"51820\"],\"removed\":[],\"unchanged\":498,\"failed\":{\"51821\":\"port in use\"}},"
        "\"peers\":{\"added\":3,\"changed\":1,\"removed\":0},\"hosts\":{\"added\":2,\"changed\":0,"
        "\"removed\":1},"
        "\"changes\":[{\"op\":\"add\",\"path\":\"/51821\"},{\"op\":\"change\",\"path\":\"/51820/mtu\"},"
        "{\"op\":\"change\",\"path\":\"/51820/private_key\"},"
        "{\"op\":\"remove\",\"path\":\"/51820/proxy/https:~1~1git.example.com\"}],"
        "\"warnings\":[{\"path\":\"/51820\",\"message\":\"hm\"}]}";

START_TEST(a_report_is_one_line_and_its_troubles)
{
	struct show show = begin(false);
	cJSON      *json = cJSON_Parse(report);

	show_report(&show, json);
	cJSON_Delete(json);
	expect(&show, "warning: /51820: hm\nfailed: 51821: port in use\n"
	              "generation 7: networks: +1 ~1 -0, 498 unchanged; peers: +3 ~1 -0; hosts: +2 ~0 -1 "
	              "(12.4 ms)\n");
}
END_TEST

START_TEST(a_plan_is_a_diff_with_values_but_without_keys)
{
	struct show show = begin(false);
	cJSON      *json = cJSON_Parse(report);
	cJSON      *before = cJSON_Parse("{\"51820\":{\"mtu\":1420,\"private_key\":\"SECRET\","
	                                 "\"proxy\":{\"https://git.example.com\":[\"10.0.0.2:443\"]}}}");
	cJSON      *after = cJSON_Parse("{\"51820\":{\"mtu\":1380,\"private_key\":\"OTHER\"},\"51821\":{}}");

	show_plan(&show, json, before, after);
	expect(&show, "+ /51821\n~ /51820/mtu: 1420 -> 1380\n~ /51820/private_key\n"
	              "- /51820/proxy/https:~1~1git.example.com: [\"10.0.0.2:443\"]\n"
	              "warning: /51820: hm\nfailed: 51821: port in use\n"
	              "would change: networks: +1 ~1 -0, 498 unchanged; peers: +3 ~1 -0; hosts: +2 ~0 -1\n");
	show = begin(false);
	show_plan(&show, json, NULL, NULL);
	fclose(show.to);
	ck_assert_ptr_nonnull(strstr(text, "~ /51820/mtu\n"));
	free(text);
	cJSON_Delete(json);
	cJSON_Delete(before);
	cJSON_Delete(after);
	show = begin(false);
	json = cJSON_Parse("{\"networks\":{\"unchanged\":2}}");
	show_plan(&show, json, NULL, NULL);
	cJSON_Delete(json);
	expect(&show,
	       "nothing would change: networks: +0 ~0 -0, 2 unchanged; peers: +0 ~0 -0; hosts: +0 ~0 -0\n");
}
END_TEST

START_TEST(numbers_read_as_wg_prints_them)
{
	char bytes[32];
	char ago[96];

	ck_assert_str_eq(show_bytes(0, bytes), "0 B");
	ck_assert_str_eq(show_bytes(1023, bytes), "1023 B");
	ck_assert_str_eq(show_bytes(1024, bytes), "1.00 KiB");
	ck_assert_str_eq(show_bytes(18446744073709551615.0, bytes), "16384.00 PiB");
	ck_assert_str_eq(show_ago(0, ago), "Now");
	ck_assert_str_eq(show_ago(-5, ago), "Now");
	ck_assert_str_eq(show_ago(1, ago), "1 second ago");
	ck_assert_str_eq(show_ago(90061, ago), "1 day, 1 hour, 1 minute, 1 second ago");
	ck_assert_str_eq(show_ago(7200, ago), "2 hours ago");
	ck_assert_ptr_nonnull(strstr(show_ago(INT64_MAX, ago), "days"));
}
END_TEST

START_TEST(an_event_is_one_line)
{
	struct show show = begin(false);
	cJSON *json =
	        cJSON_Parse("{\"time\":1700000000,\"port\":51820,\"peer\":\"PEER=\",\"reason\":\"a\\nb\"}");

	show_event(&show, "peer-connected", json);
	cJSON_Delete(json);
	show_event(&show, "reset", NULL);
	expect(&show, "1700000000 peer-connected port=51820 peer=PEER= reason=a?b\nreset\n");
}
END_TEST

void test_show(TCase *tc)
{
	tcase_add_test(tc, status_reads_like_wg_show);
	tcase_add_test(tc, a_failed_network_says_why);
	tcase_add_test(tc, colours_are_for_terminals);
	tcase_add_test(tc, what_tenants_wrote_does_not_steer_the_terminal);
	tcase_add_test(tc, an_error_lists_every_place);
	tcase_add_test(tc, a_report_is_one_line_and_its_troubles);
	tcase_add_test(tc, a_plan_is_a_diff_with_values_but_without_keys);
	tcase_add_test(tc, numbers_read_as_wg_prints_them);
	tcase_add_test(tc, an_event_is_one_line);
}
