#include "base/address.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <string.h>

void test_address(TCase *tc);

START_TEST(ranges_are_read_and_printed_in_one_form)
{
	static const struct {
		const char *text, *printed;
	} good[] = {
		{ "10.0.0.1/16", "10.0.0.1/16" },     { "10.0.0.1", "10.0.0.1/32" },
		{ "0.0.0.0/0", "0.0.0.0/0" },         { "fd00:1::1/64", "fd00:1::1/64" },
		{ "FD00:0:0::1", "fd00::1/128" },     { "::/0", "::/0" },
		{ "::ffff:1.2.3.4/128", "::ffff:1.2.3.4/128" },
	};

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		struct tg_cidr range;
		char           text[TG_CIDR_TEXT];

		ck_assert_msg(tg_cidr_read(good[i].text, &range), "%s", good[i].text);
		ck_assert_str_eq(tg_cidr_print(&range, text), good[i].printed);
	}
}
END_TEST

START_TEST(what_is_no_range_is_refused)
{
	static const char *const bad[] = { "", "/", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/016", "10.0.0.1/+8",
					   "10.0.0.1/8 ", " 10.0.0.1", "10.0.0", "10.0.0.256", "fd00::/129",
					   "fe80::1%eth0/64", "::1/-1", "10.0.0.1/8/8", "a.b.c.d",
					   "1111:2222:3333:4444:5555:6666:7777:8888:9999",
					   "10.0.0.1/99999999999999999999",
					   "10.0.0.1000000000000000000000000000000000000000000000000" };

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct tg_cidr range;

		ck_assert_msg(!tg_cidr_read(bad[i], &range), "%s", bad[i]);
	}
}
END_TEST

START_TEST(host_bits_are_cleared_to_the_bit)
{
	struct tg_cidr range;
	char           text[TG_CIDR_TEXT];

	ck_assert(tg_cidr_read("10.255.255.255/9", &range));
	tg_cidr_mask(&range);
	ck_assert_str_eq(tg_cidr_print(&range, text), "10.128.0.0/9");
	ck_assert(tg_cidr_read("ffff::ffff/127", &range));
	tg_cidr_mask(&range);
	ck_assert_str_eq(tg_cidr_print(&range, text), "ffff::fffe/127");
}
END_TEST

START_TEST(endpoints_are_read_and_printed)
{
	static const char *const good[] = { "10.0.0.2:443", "[fd00:1::2]:8443", "[::]:1",
	                                    "255.255.255.255:65535" };
	static const char *const bad[] = { "", ":80", "10.0.0.2", "10.0.0.2:", "10.0.0.2:0", "10.0.0.2:65536",
	                                   "10.0.0.2:080", "fd00::2:80", "[10.0.0.2]:80", "[fd00::2]",
	                                   "[fd00::2]80", "[]:80", "10.0.0.2/8:80", "10.0.0.2: 80", "]:80" };

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		struct tg_endpoint endpoint;
		char               text[TG_ENDPOINT_TEXT];

		ck_assert_msg(tg_endpoint_read(good[i], &endpoint), "%s", good[i]);
		ck_assert_str_eq(tg_endpoint_print(&endpoint, text), good[i]);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct tg_endpoint endpoint;

		ck_assert_msg(!tg_endpoint_read(bad[i], &endpoint), "%s", bad[i]);
		ck_assert_int_eq(endpoint.family, 0);
	}
}
END_TEST

START_TEST(socket_addresses_go_both_ways_and_mapped_ones_become_ipv4)
{
	static const char *const texts[] = { "10.0.0.2:443", "[fd00:1::2]:8443" };
	struct sockaddr_storage  there;
	struct tg_endpoint       from, back;

	for (size_t i = 0; i < 2; i++) {
		ck_assert(tg_endpoint_read(texts[i], &from));
		ck_assert_uint_gt(tg_endpoint_to_sockaddr(&from, &there), 0);
		tg_endpoint_from_sockaddr((struct sockaddr *)&there, &back);
		ck_assert(tg_endpoint_equal(&from, &back));
	}

	struct sockaddr_in6 mapped = { .sin6_family = AF_INET6, .sin6_port = htons(443) };

	ck_assert_int_eq(inet_pton(AF_INET6, "::ffff:10.0.0.2", &mapped.sin6_addr), 1);
	tg_endpoint_from_sockaddr((struct sockaddr *)&mapped, &back);
	ck_assert(tg_endpoint_read("10.0.0.2:443", &from) && tg_endpoint_equal(&from, &back));

	struct sockaddr local = { .sa_family = AF_UNIX };

	tg_endpoint_from_sockaddr(&local, &back);
	ck_assert_int_eq(back.family, 0);
}
END_TEST

void test_address(TCase *tc)
{
	tcase_add_test(tc, ranges_are_read_and_printed_in_one_form);
	tcase_add_test(tc, what_is_no_range_is_refused);
	tcase_add_test(tc, host_bits_are_cleared_to_the_bit);
	tcase_add_test(tc, endpoints_are_read_and_printed);
	tcase_add_test(tc, socket_addresses_go_both_ways_and_mapped_ones_become_ipv4);
}
