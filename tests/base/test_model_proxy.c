/* Rules of host names, and the warnings. */
#include "base/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/msg.h"
#include "tests/support/document.h"

void test_model_proxy(TCase *tc);

#define PROXY(more) DOCUMENT(",'proxy':{" more "}")
#define TWO(one, two) \
	"{'1':" NETWORK(PRIVATE_1, ",'proxy':{" one "}") ",'2':" NETWORK(PRIVATE_2, ",'proxy':{" two "}") "}"
#define UP "['10.0.0.2:80']"

/* A network whose proxy has `key`, printed. */
static char *with_key(const char *key)
{
	static char text[1024];

	snprintf(text, sizeof text, PROXY("'%s':" UP), key);
	return text;
}

START_TEST(keys_are_normalised)
{
	static const struct {
		const char *key, *printed;
	} good[] = {
		{ "https://git.example.com", "'https://git.example.com': ['10.0.0.2:80']" },
		{ "https://GIT.Example.com/", "'https://git.example.com': [" },
		{ "https://git.example.com:443", "'https://git.example.com': [" },
		{ "https://git.example.com:443/", "'https://git.example.com': [" },
		{ "https://git.example.com.", "'https://git.example.com': [" },
		{ "HTTP://git.example.com:80/", "'http://git.example.com': [" },
		{ "http://localhost", "'http://localhost': [" },
		{ "https://*.Apps.example.com/", "'https://*.apps.example.com': [" },
		{ "https://xn--bcher-kva.example", "'https://xn--bcher-kva.example': [" },
		{ "https://a_b.9.x1", "'https://a_b.9.x1': [" },
	};

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		document_taken(with_key(good[i].key), good[i].printed);
}
END_TEST

START_TEST(keys_that_are_no_host_names_are_refused)
{
	static const char name[] = "must hold a host name, or *. and a host name";
	static const char path[] = "must have no path";
	static const char port[] = "must have no port but its scheme's own";
	static const char scheme[] = "must begin with https:// or http://";
	static const struct {
		const char *key, *pointer, *fault;
	} bad[] = {
		{ "git.example.com", "git.example.com", scheme },
		{ "ftp://a", "ftp:~1~1a", scheme },
		{ "https:/a", "https:~1a", scheme },
		{ "https://", "https:~1~1", name },
		{ "https:///", "https:~1~1~1", name },
		{ "https://a//", "https:~1~1a~1~1", path },
		{ "https://a/b", "https:~1~1a~1b", path },
		{ "https://a?b", "https:~1~1a?b", path },
		{ "https://a#b", "https:~1~1a#b", path },
		{ "https://a:80", "https:~1~1a:80", port },
		{ "http://a:443", "http:~1~1a:443", port },
		{ "http://a:8080/", "http:~1~1a:8080~1", port },
		{ "http://a:080", "http:~1~1a:080", port },
		{ "http://a:", "http:~1~1a:", port },
		{ "http://u@a", "http:~1~1u@a", name },
		{ "http://a b", "http:~1~1a b", name },
		{ "http://a..b", "http:~1~1a..b", name },
		{ "http://.a", "http:~1~1.a", name },
		{ "http://a...", "http:~1~1a...", name },
		{ "http://-a.b", "http:~1~1-a.b", name },
		{ "http://a-.b", "http:~1~1a-.b", name },
		{ "http://b.a-", "http:~1~1b.a-", name },
		{ "http://*.-a", "http:~1~1*.-a", name },
		{ "http://*", "http:~1~1*", name },
		{ "http://*.", "http:~1~1*.", name },
		{ "http://*a.b", "http:~1~1*a.b", name },
		{ "http://a.*.b", "http:~1~1a.*.b", name },
		{ "http://*.*.b", "http:~1~1*.*.b", name },
		{ "http://b\xc3\xbc""cher.example", "http:~1~1b\xc3\xbc""cher.example", name },
		{ "http://~", "http:~1~1~0", name },
		{ "http://[fd00::1]", "http:~1~1[fd00::1]", port },
		{ "http://10.0.0.1", "http:~1~110.0.0.1", "must hold a host name, not an address" },
		{ "http://0123456789012345678901234567890123456789012345678901234567890123.a",
		  "http:~1~10123456789012345678901234567890123456789012345678901234567890123.a", name },
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char pointer[256];

		snprintf(pointer, sizeof pointer, "/51820/proxy/%s", bad[i].pointer);
		document_refused(with_key(bad[i].key), pointer, bad[i].fault);
	}
}
END_TEST

START_TEST(a_name_of_253_characters_is_the_longest)
{
	char name[300];
	char host[MSG_HOST_MOST];

	for (size_t i = 0; i < sizeof name; i++)
		name[i] = i % 4 == 3 ? '.' : 'A';
	ck_assert(model_host_read(name, 253, false, host));
	ck_assert_uint_eq(strlen(host), 253);
	ck_assert_int_eq(host[0], 'a');
	name[253] = '.';
	ck_assert(model_host_read(name, 254, false, host));
	ck_assert_uint_eq(strlen(host), 253);
	name[253] = 'A';
	ck_assert(!model_host_read(name, 254, false, host));
	ck_assert(!model_host_read(name, 0, false, host));
}
END_TEST

START_TEST(a_host_name_is_read_as_clients_write_it)
{
	char host[MSG_HOST_MOST];

	ck_assert(model_host_read("Git.Example.COM.", 16, false, host));
	ck_assert_str_eq(host, "git.example.com");
	ck_assert(model_host_read("10.0.0.1", 8, false, host));
	ck_assert(!model_host_read("*.a", 3, false, host));
	ck_assert(model_host_read("*.a", 3, true, host));
	ck_assert(!model_host_read("a\0b", 3, false, host));
	ck_assert(!model_host_read(".", 1, false, host));
	ck_assert(!model_host_read("a:80", 4, false, host));
}
END_TEST

START_TEST(one_name_written_twice_is_refused)
{
	document_refused(PROXY("'https://a.example':" UP ",'https://A.example/':" UP),
	                 "/51820/proxy/https:~1~1A.example~1", "stands twice, written differently");
	document_taken(PROXY("'https://a.example':" UP ",'http://a.example':" UP), NULL);
}
END_TEST

START_TEST(a_host_name_belongs_to_one_network)
{
	document_refused(TWO("'https://a.example':" UP, "'https://a.example':" UP),
	                 "/2/proxy/https:~1~1a.example", "belongs to network 1 too");
	document_refused(TWO("'https://a.example':" UP, "'http://A.example':" UP),
	                 "/2/proxy/http:~1~1A.example", "belongs to network 1 too");
	document_refused(TWO("'https://*.a.example':" UP, "'http://*.a.example':" UP),
	                 "/2/proxy/http:~1~1*.a.example", "belongs to network 1 too");
	document_taken(TWO("'https://a.example':" UP, "'https://b.example':" UP), NULL);
}
END_TEST

START_TEST(a_name_under_anothers_wildcard_is_refused)
{
	document_refused(TWO("'https://*.a.example':" UP, "'http://b.a.example':" UP),
	                 "/2/proxy/http:~1~1b.a.example", "is under *.a.example of network 1");
	document_refused(TWO("'http://b.a.example':" UP, "'https://*.a.example':" UP),
	                 "/1/proxy/http:~1~1b.a.example", "is under *.a.example of network 2");
	/* A wildcard is one label: these two are not under it. */
	document_taken(TWO("'https://*.a.example':" UP, "'https://c.b.a.example':" UP
	                   ",'https://a.example':" UP),
	               NULL);
	document_taken(TWO("'https://*.a.example':" UP, "'https://*.b.a.example':" UP), NULL);
	/* Within a network the exact name wins. */
	document_taken(PROXY("'https://*.a.example':" UP ",'https://b.a.example':" UP), NULL);
}
END_TEST

START_TEST(upstreams_are_addresses_with_ports)
{
	static const char bad[] = "must be IP:port or [IPv6]:port";

	document_taken(PROXY("'https://a':['10.0.0.2:443','[FD00::2]:8443','10.0.0.2:443']"),
	               "'https://a': ['10.0.0.2:443', '[fd00::2]:8443', '10.0.0.2:443']");
	document_refused(PROXY("'https://a':[]"), "/51820/proxy/https:~1~1a",
	                 "must be an array of one upstream or more");
	document_refused(PROXY("'https://a':'10.0.0.2:443'"), "/51820/proxy/https:~1~1a",
	                 "must be an array of upstreams or an object");
	document_refused(PROXY("'https://a':null"), "/51820/proxy/https:~1~1a",
	                 "must be an array of upstreams or an object");
	document_refused(PROXY("'https://a':['10.0.0.2:443','10.0.0.2']"), "/51820/proxy/https:~1~1a/1", bad);
	document_refused(PROXY("'https://a':['10.0.0.2:0']"), "/51820/proxy/https:~1~1a/0", bad);
	document_refused(PROXY("'https://a':['git:443']"), "/51820/proxy/https:~1~1a/0", bad);
	document_refused(PROXY("'https://a':['fd00::2:443']"), "/51820/proxy/https:~1~1a/0", bad);
	document_refused(PROXY("'https://a':[443]"), "/51820/proxy/https:~1~1a/0", bad);
	document_refused(PROXY("'https://a':{'upstreams':['x']}"), "/51820/proxy/https:~1~1a/upstreams/0",
	                 bad);
	document_refused(PROXY("'https://a':{}"), "/51820/proxy/https:~1~1a/upstreams", "is required");
	document_refused(PROXY("'https://a':{'upstreams':[]}"), "/51820/proxy/https:~1~1a/upstreams",
	                 "must be an array of one upstream or more");
	document_refused(PROXY("'https://a':{'upstreams':" UP ",'weight':1}"),
	                 "/51820/proxy/https:~1~1a/weight", "unknown key");
	document_refused(DOCUMENT(",'proxy':[]"), "/51820/proxy", "must be an object");
}
END_TEST

START_TEST(an_object_with_upstreams_only_becomes_an_array)
{
	document_taken(PROXY("'https://a':{'upstreams':" UP ",'proxy_protocol':null,'max_connections':null,"
	                     "'redirect_to_https':false,'host_header':null}"),
	                     "'https://a': ['10.0.0.2:80']");
}
END_TEST

START_TEST(a_proxy_protocol_is_v1_or_v2)
{
	document_taken(PROXY("'https://a':{'upstreams':" UP ",'proxy_protocol':'v1'}"),
	               "'https://a': { 'upstreams': ['10.0.0.2:80'], 'proxy_protocol': 'v1', "
	               "'max_connections': null }");
	document_taken(PROXY("'http://a':{'upstreams':" UP ",'proxy_protocol':'v2'}"),
	               "'proxy_protocol': 'v2', 'max_connections': null, 'redirect_to_https': false, "
	               "'host_header': null }");
	document_refused(PROXY("'https://a':{'upstreams':" UP ",'proxy_protocol':'v3'}"),
	                 "/51820/proxy/https:~1~1a/proxy_protocol", "must be \"v1\", \"v2\" or null");
	document_refused(PROXY("'https://a':{'upstreams':" UP ",'proxy_protocol':2}"),
	                 "/51820/proxy/https:~1~1a/proxy_protocol", "must be \"v1\", \"v2\" or null");
}
END_TEST

START_TEST(max_connections_has_limits)
{
	document_taken(PROXY("'https://a':{'upstreams':" UP ",'max_connections':1}"),
	               "'max_connections': 1 }");
	document_taken(PROXY("'https://a':{'upstreams':" UP ",'max_connections':4294967294}"),
	               "'max_connections': 4294967294");
	document_refused(PROXY("'https://a':{'upstreams':" UP ",'max_connections':0}"),
	                 "/51820/proxy/https:~1~1a/max_connections", "must be from 1 to 4294967294");
	document_refused(PROXY("'https://a':{'upstreams':" UP ",'max_connections':4294967295}"),
	                 "/51820/proxy/https:~1~1a/max_connections", "must be from 1 to 4294967294");
	document_refused(PROXY("'https://a':{'upstreams':" UP ",'max_connections':'5'}"),
	                 "/51820/proxy/https:~1~1a/max_connections", "must be an integer");
}
END_TEST

START_TEST(a_redirect_is_for_http_and_needs_no_upstream)
{
	document_taken(PROXY("'http://a':{'upstreams':[],'redirect_to_https':true}"),
	               "'http://a': { 'upstreams': [], 'proxy_protocol': null, 'max_connections': null, "
	               "'redirect_to_https': true, 'host_header': null }");
	document_taken(PROXY("'http://a':{'redirect_to_https':true}"), "'upstreams': [],");
	document_taken(PROXY("'http://a':{'upstreams':" UP ",'redirect_to_https':true}"),
	               "'upstreams': ['10.0.0.2:80'],");
	document_refused(PROXY("'https://a':{'upstreams':" UP ",'redirect_to_https':true}"),
	                 "/51820/proxy/https:~1~1a/redirect_to_https", "is for http:// only");
	document_refused(PROXY("'http://a':{'upstreams':[],'redirect_to_https':false}"),
	                 "/51820/proxy/http:~1~1a/upstreams", "must be an array of one upstream or more");
	document_refused(PROXY("'http://a':{'upstreams':" UP ",'redirect_to_https':1}"),
	                 "/51820/proxy/http:~1~1a/redirect_to_https", "must be true or false");
	document_refused(PROXY("'http://a':{'upstreams':" UP ",'redirect_to_https':null}"),
	                 "/51820/proxy/http:~1~1a/redirect_to_https", "must be true or false");
}
END_TEST

START_TEST(a_host_header_is_a_host_and_for_http)
{
	static const char *const bad[] = { "''", "'*.a'", "'a b'", "'a:'", "'a:0'", "'a:65536'", "'a:80:80'",
		                           "'a\\r\\nX: y'", "5" };

	document_taken(PROXY("'http://a':{'upstreams':" UP ",'host_header':'Inner.example'}"),
	               "'host_header': 'inner.example'");
	document_taken(PROXY("'http://a':{'upstreams':" UP ",'host_header':'inner:8080'}"),
	               "'host_header': 'inner:8080'");
	document_refused(PROXY("'https://a':{'upstreams':" UP ",'host_header':'b'}"),
	                 "/51820/proxy/https:~1~1a/host_header", "is for http:// only");
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char text[512];

		snprintf(text, sizeof text, PROXY("'http://a':{'upstreams':" UP ",'host_header':%s}"),
		         bad[i]);
		document_refused(text, "/51820/proxy/http:~1~1a/host_header", "must be a host name or null");
	}
}
END_TEST

START_TEST(ssh_keys_are_kept_and_warned_of)
{
	struct model_faults warnings = { .count = 0 };
	struct model       *model;

	document_taken(PROXY("'ssh://Git.example:22/x':{'a':[1,2.5,'\\u0022',null],'b':{}}"),
	               "'ssh://Git.example:22/x': {'a':[1,2.5,'\\'',null],'b':{}}");
	/* Two networks may have the same. */
	model = document_read(TWO("'ssh://a':1", "'ssh://a':2"), &warnings);
	ck_assert_uint_eq(warnings.total, 2);
	ck_assert_str_eq(warnings.list[1].path, "/2/proxy/ssh:~1~1a");
	ck_assert_str_eq(warnings.list[1].text, "ssh:// is kept and ignored");
	model_faults_clear(&warnings);
	model_free(model);
}
END_TEST

START_TEST(upstreams_that_nobody_is_behind_are_warned_of)
{
	struct model_faults warnings = { .count = 0 };
	struct model       *model;

	model = document_read("{'1':{'private_key':'" PRIVATE_1 "','address':['10.0.0.1/16','fd00::1/64'],"
	                      "'peers':{'"
	                      PUBLIC_2 "':{'allowed_ips':['10.0.0.2','10.1.0.0/16']},'"
	                      PUBLIC_3 "':{'allowed_ips':['fd00:1::/32']}},'proxy':{"
	                      "'https://A':['10.0.0.2:1','10.1.9.9:1','10.0.0.1:1','[fd00:1:2::3]:1',"
	                      "'[fd00::1]:1'],"
	                      "'https://b':['10.0.0.2:1','10.9.9.9:1'],"
	                      "'http://C/':{'upstreams':['[fd00::2]:1']}}}}", &warnings);
	ck_assert_uint_eq(warnings.total, 2);
	ck_assert_str_eq(warnings.list[0].path, "/1/proxy/https:~1~1b/1");
	ck_assert_str_eq(warnings.list[0].text, "10.9.9.9 is in no peer's allowed_ips");
	ck_assert_str_eq(warnings.list[1].path, "/1/proxy/http:~1~1C~1/upstreams/0");
	ck_assert_str_eq(warnings.list[1].text, "fd00::2 is in no peer's allowed_ips");
	model_faults_clear(&warnings);
	model_free(model);
}
END_TEST

START_TEST(a_range_of_everything_holds_every_upstream)
{
	struct model_faults warnings = { .count = 0 };
	struct model       *model;

	model = document_read(DOCUMENT(",'peers':{'" PUBLIC_2 "':{'allowed_ips':['0.0.0.0/0']}},"
	                               "'proxy':{'https://a':['203.0.113.1:1'],'https://b':['[::1]:1']}"),
	                               &warnings);
	ck_assert_uint_eq(warnings.total, 1);
	ck_assert_str_eq(warnings.list[0].text, "::1 is in no peer's allowed_ips");
	model_faults_clear(&warnings);
	model_free(model);
}
END_TEST

void test_model_proxy(TCase *tc)
{
	tcase_add_test(tc, keys_are_normalised);
	tcase_add_test(tc, keys_that_are_no_host_names_are_refused);
	tcase_add_test(tc, a_name_of_253_characters_is_the_longest);
	tcase_add_test(tc, a_host_name_is_read_as_clients_write_it);
	tcase_add_test(tc, one_name_written_twice_is_refused);
	tcase_add_test(tc, a_host_name_belongs_to_one_network);
	tcase_add_test(tc, a_name_under_anothers_wildcard_is_refused);
	tcase_add_test(tc, upstreams_are_addresses_with_ports);
	tcase_add_test(tc, an_object_with_upstreams_only_becomes_an_array);
	tcase_add_test(tc, a_proxy_protocol_is_v1_or_v2);
	tcase_add_test(tc, max_connections_has_limits);
	tcase_add_test(tc, a_redirect_is_for_http_and_needs_no_upstream);
	tcase_add_test(tc, a_host_header_is_a_host_and_for_http);
	tcase_add_test(tc, ssh_keys_are_kept_and_warned_of);
	tcase_add_test(tc, upstreams_that_nobody_is_behind_are_warned_of);
	tcase_add_test(tc, a_range_of_everything_holds_every_upstream);
}
