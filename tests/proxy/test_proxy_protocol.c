#include "proxy/proxy_protocol.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"

void test_proxy_protocol(TCase *tc);

static struct tg_endpoint at(const char *text)
{
	struct tg_endpoint endpoint;

	ck_assert(tg_endpoint_read(text, &endpoint));
	return endpoint;
}

static void prints(int version, const char *client, const char *local, const void *expected, size_t bytes)
{
	struct tg_endpoint from = client == NULL ? (struct tg_endpoint){ 0 } : at(client);
	struct tg_endpoint to = local == NULL ? (struct tg_endpoint){ 0 } : at(local);
	char               header[PROXY_PROTOCOL_MOST];

	ck_assert_uint_eq(proxy_protocol_print(version, &from, &to, header), bytes);
	ck_assert_mem_eq(header, expected, bytes);
}

#define TEXT(text) text, sizeof(text) - 1

START_TEST(version_1_is_a_line_of_text)
{
	prints(1, "192.0.2.1:56324", "198.51.100.7:443",
	       TEXT("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"));
	prints(1, "[2001:db8::1]:1", "[2001:db8::2]:443",
	       TEXT("PROXY TCP6 2001:db8::1 2001:db8::2 1 443\r\n"));
	prints(1, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	       "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	       TEXT("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	            "65535 65535\r\n"));
}
END_TEST

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

START_TEST(version_2_is_binary)
{
	prints(2, "192.0.2.1:258", "198.51.100.7:443",
	       TEXT(SIGNATURE "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\x01\x02\x01\xbb"));
	prints(2, "[2001:db8::1]:258", "[::2]:443",
	       TEXT(SIGNATURE "\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
	            "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\x01\x02\x01\xbb"));
}
END_TEST

START_TEST(unequal_families_are_unknown)
{
	prints(1, "192.0.2.1:1", "[::1]:443", TEXT("PROXY UNKNOWN\r\n"));
	prints(1, NULL, NULL, TEXT("PROXY UNKNOWN\r\n"));
	prints(2, "192.0.2.1:1", "[::1]:443", TEXT(SIGNATURE "\x20\x00\x00\x00"));
}
END_TEST

START_TEST(no_version_is_no_header)
{
	prints(0, "192.0.2.1:1", "192.0.2.2:443", "", 0);
	prints(3, "192.0.2.1:1", "192.0.2.2:443", "", 0);
}
END_TEST

START_TEST(a_sockets_own_address_is_asked_of_the_kernel)
{
	struct tg_endpoint      client = at("192.0.2.1:9");
	struct tg_endpoint      any = { .family = AF_INET, .bytes = { 127, 0, 0, 1 } };
	struct sockaddr_storage address;
	socklen_t               bytes = tg_endpoint_to_sockaddr(&any, &address);
	char                    header[PROXY_PROTOCOL_MOST];
	int                     fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, bytes), 0);
	ck_assert_uint_gt(proxy_protocol_print_of(1, &client, fd, header), 0);
	ck_assert_int_eq(strncmp(header, TEXT("PROXY TCP4 192.0.2.1 127.0.0.1 9 ")), 0);
	ck_assert_uint_eq(proxy_protocol_print_of(0, &client, fd, header), 0);
	close(fd);
}
END_TEST

void test_proxy_protocol(TCase *tc)
{
	tcase_add_test(tc, version_1_is_a_line_of_text);
	tcase_add_test(tc, version_2_is_binary);
	tcase_add_test(tc, unequal_families_are_unknown);
	tcase_add_test(tc, no_version_is_no_header);
	tcase_add_test(tc, a_sockets_own_address_is_asked_of_the_kernel);
}
