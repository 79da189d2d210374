#include "base/model.h"

#include <stdio.h>

#include <check.h>

#include "tests/support/document.h"

void test_model_peers(TCase *tc);

#define ZEROS "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PEER(key, more) "'" key "':{" more "}"
#define PEERS(more) DOCUMENT(",'peers':{" more "}")

START_TEST(a_peer_gets_its_defaults)
{
	document_taken(PEERS(PEER(PUBLIC_2, "'allowed_ips':[]")),
	               "'" PUBLIC_2 "': { 'preshared_key': null, 'allowed_ips': [], 'endpoint': null, "
	               "'persistent_keepalive': 25 }");
	document_taken(PEERS(PEER(PUBLIC_2, "'allowed_ips':[],'preshared_key':null,'endpoint':null,"
	                                    "'persistent_keepalive':0")),
	               "'endpoint': null, 'persistent_keepalive': 0 }");
}
END_TEST

START_TEST(a_peers_key_is_32_bytes_and_not_the_networks_own)
{
	document_refused(PEERS(PEER("x", "'allowed_ips':[]")), "/51820/peers/x",
	                 "a peer's public key must be 32 bytes in base64");
	document_refused(PEERS(PEER(ZEROS, "'allowed_ips':[]")), "/51820/peers/" ZEROS,
	                 "is all zeros, which is nobody's key");
	document_refused(PEERS(PEER(PUBLIC_1, "'allowed_ips':[]")), "/51820/peers/" PUBLIC_1,
	                 "is the network's own public key");
	/* A slash in base64 is escaped in the pointer. */
	document_refused(PEERS(PEER("GGoxoXXQ3P5IXpb33/uSwdl8Zqx2WoU8I0M9WogY1Hw=", "")),
	                 "/51820/peers/GGoxoXXQ3P5IXpb33~1uSwdl8Zqx2WoU8I0M9WogY1Hw=/allowed_ips",
	                 "is required");
	document_refused(PEERS("'" PUBLIC_3 "':null"), "/51820/peers/" PUBLIC_3, "must be an object");
	document_refused(DOCUMENT(",'peers':[]"), "/51820/peers", "must be an object");
	document_refused(DOCUMENT(",'peers':null"), "/51820/peers", "must be an object");
}
END_TEST

START_TEST(ranges_lose_their_host_bits)
{
	document_taken(PEERS(PEER(PUBLIC_3, "'allowed_ips':['10.1.2.3/8','10.0.0.2','FD00::5/64','fd00::2',"
	                          "'0.0.0.0/0']")),
	               "'allowed_ips': ['0.0.0.0/0', '10.0.0.0/8', '10.0.0.2/32', 'fd00::/64',"
	               " 'fd00::2/128']");
}
END_TEST

START_TEST(a_range_stands_once_in_a_network)
{
	document_refused(PEERS(PEER(PUBLIC_3, "'allowed_ips':['10.0.0.0/24','10.1.0.0/16','10.0.0.7/24']")),
	                 "/51820/peers/" PUBLIC_3 "/allowed_ips/2",
	                 "10.0.0.0/24 stands twice in this network");
	document_refused(PEERS(PEER(PUBLIC_3, "'allowed_ips':['fd00::2']") ","
	                       PEER(PUBLIC_2, "'allowed_ips':['10.0.0.2','fd00::2/128']")),
	                 "/51820/peers/" PUBLIC_3 "/allowed_ips/0",
	                 "fd00::2/128 stands twice in this network");
	document_taken(PEERS(PEER(PUBLIC_3, "'allowed_ips':['10.0.0.0/24']") ","
	                     PEER(PUBLIC_2, "'allowed_ips':['10.0.0.0/25','10.0.0.0/23']")), NULL);
}
END_TEST

START_TEST(ranges_are_an_array_of_ranges)
{
	static const char bad[] = "must be an IP address or range";

	document_refused(PEERS(PEER(PUBLIC_3, "")), "/51820/peers/" PUBLIC_3 "/allowed_ips", "is required");
	document_refused(PEERS(PEER(PUBLIC_3, "'allowed_ips':null")), "/51820/peers/" PUBLIC_3 "/allowed_ips",
	                 "must be an array");
	document_refused(PEERS(PEER(PUBLIC_3, "'allowed_ips':['10.0.0.2','10.0.0.256']")),
	                 "/51820/peers/" PUBLIC_3 "/allowed_ips/1", bad);
	document_refused(PEERS(PEER(PUBLIC_3, "'allowed_ips':['10.0.0.2/']")),
	                 "/51820/peers/" PUBLIC_3 "/allowed_ips/0", bad);
	document_refused(PEERS(PEER(PUBLIC_3, "'allowed_ips':[null]")),
	                 "/51820/peers/" PUBLIC_3 "/allowed_ips/0", bad);
}
END_TEST

START_TEST(a_preshared_key_is_32_bytes_or_null)
{
	document_taken(PEERS(PEER(PUBLIC_3, "'allowed_ips':[],'preshared_key':'" PRIVATE_3 "'")),
	               "'preshared_key': '" PRIVATE_3 "'");
	/* WireGuard's way to say none. */
	document_taken(PEERS(PEER(PUBLIC_3, "'allowed_ips':[],'preshared_key':'" ZEROS "'")),
	               "'preshared_key': null");
	document_refused(PEERS(PEER(PUBLIC_3, "'allowed_ips':[],'preshared_key':'x'")),
	                 "/51820/peers/" PUBLIC_3 "/preshared_key", "must be 32 bytes in base64");
	document_refused(PEERS(PEER(PUBLIC_3, "'allowed_ips':[],'preshared_key':0")),
	                 "/51820/peers/" PUBLIC_3 "/preshared_key", "must be a string");
}
END_TEST

START_TEST(an_endpoint_is_an_address_with_a_port)
{
	static const char *const bad[] = { "''", "'203.0.113.5'", "'203.0.113.5:0'", "'203.0.113.5:65536'",
		                           "'203.0.113.5:080'", "'fd00::1:80'", "'[fd00::1]'", "'host:80'",
		                           "80", "false" };

	document_taken(PEERS(PEER(PUBLIC_3, "'allowed_ips':[],'endpoint':'203.0.113.5:51820'")),
	               "'endpoint': '203.0.113.5:51820'");
	document_taken(PEERS(PEER(PUBLIC_3, "'allowed_ips':[],'endpoint':'[2001:DB8::1]:1'")),
	               "'endpoint': '[2001:db8::1]:1'");
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char text[512];

		snprintf(text, sizeof text, PEERS(PEER(PUBLIC_3, "'allowed_ips':[],'endpoint':%s")), bad[i]);
		document_refused(text, "/51820/peers/" PUBLIC_3 "/endpoint",
		                 "must be IP:port, [IPv6]:port or null");
	}
}
END_TEST

START_TEST(a_keepalive_has_limits)
{
	document_taken(PEERS(PEER(PUBLIC_3, "'allowed_ips':[],'persistent_keepalive':65535")),
	               "'persistent_keepalive': 65535");
	document_refused(PEERS(PEER(PUBLIC_3, "'allowed_ips':[],'persistent_keepalive':65536")),
	                 "/51820/peers/" PUBLIC_3 "/persistent_keepalive", "must be from 0 to 65535");
	document_refused(PEERS(PEER(PUBLIC_3, "'allowed_ips':[],'persistent_keepalive':-1")),
	                 "/51820/peers/" PUBLIC_3 "/persistent_keepalive", "must be from 0 to 65535");
	document_refused(PEERS(PEER(PUBLIC_3, "'allowed_ips':[],'persistent_keepalive':null")),
	                 "/51820/peers/" PUBLIC_3 "/persistent_keepalive", "must be an integer");
}
END_TEST

/* Linux has no IPv6 on such a link. */
START_TEST(ranges_that_get_no_route_are_warned_of)
{
	static const struct {
		const char *range, *mtu;
		size_t      warnings;
	} cases[] = { { "fd00::/64", "1279", 1 }, { "fd00::/64", "1280", 0 }, { "10.0.0.2", "1279", 0 } };

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct model_faults warnings = { .count = 0 };
		char                text[512];

		snprintf(text, sizeof text, DOCUMENT(",'mtu':%s,'peers':{'%s':{'allowed_ips':['%s']}}"),
		         cases[i].mtu, PUBLIC_3, cases[i].range);
		model_free(document_read(text, &warnings));
		ck_assert_uint_eq(warnings.total, cases[i].warnings);
		if (warnings.total == 1)
			ck_assert_str_eq(warnings.list[0].path, "/51820/mtu");
		model_faults_clear(&warnings);
	}
}
END_TEST

void test_model_peers(TCase *tc)
{
	tcase_add_test(tc, a_peer_gets_its_defaults);
	tcase_add_test(tc, a_peers_key_is_32_bytes_and_not_the_networks_own);
	tcase_add_test(tc, ranges_lose_their_host_bits);
	tcase_add_test(tc, a_range_stands_once_in_a_network);
	tcase_add_test(tc, ranges_are_an_array_of_ranges);
	tcase_add_test(tc, a_preshared_key_is_32_bytes_or_null);
	tcase_add_test(tc, an_endpoint_is_an_address_with_a_port);
	tcase_add_test(tc, a_keepalive_has_limits);
	tcase_add_test(tc, ranges_that_get_no_route_are_warned_of);
}
