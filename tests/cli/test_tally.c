#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cli/events.h"
#include "cli/show.h"
#include "cli/tally.h"

void test_tally(TCase *tc);

#define N1 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define N2 "BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static const char answer[] = "time,network,kind,id,rx,tx,connections\n"
			     "10," N2 ",peer,P2,1024,1,0\n"
			     "10," N1 ",host,git.example.com,5,6,7\n"
			     "10," N1 ",peer,P1,9007199254740993,2,0\n"
			     "20," N1 ",peer,P1,1,2048,0\n"
			     "20," N1 ",host,git.example.com,5,6,1\n";

static const char table[] =
	"network: " N1 "\n"
	"                                                         received         sent connections\n"
	"  peer  P1                                               8.00 PiB     2.00 KiB\n"
	"  host  git.example.com                                      10 B         12 B           8\n"
	"network: " N2 "\n"
	"                                                         received         sent connections\n"
	"  peer  P2                                               1.00 KiB          1 B\n"
	"  total (peers)                                          8.00 PiB     2.00 KiB\n";

START_TEST(records_are_summed_however_the_answer_is_cut)
{
	for (size_t step = 1; step < sizeof answer; step++) {
		struct tally *tally = tally_new();
		char         *text;
		size_t        bytes;
		struct show   show = { .to = open_memstream(&text, &bytes) };

		for (size_t at = 0; at < sizeof answer - 1; at += step) {
			size_t left = sizeof answer - 1 - at;

			ck_assert(tally_read(tally, answer + at, left < step ? left : step));
		}
		tally_show(tally, &show);
		fclose(show.to);
		ck_assert_str_eq(text, table);
		free(text);
		tally_free(tally);
	}
}
END_TEST

START_TEST(what_is_no_such_answer_is_refused)
{
	static const char *const bad[] = { "1,N,peer,P,1,2\n",   "1,N,peer,P,1,2,3,4\n", "1,N,peer,P,x,2,3\n",
		                           "1,N,peer,P,1,2,3x\n", "1,N,peer,P,,2,3\n",   "\n" };
	char long_line[2000];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct tally *tally = tally_new();

		ck_assert(tally_read(tally, "names\n", 6));
		ck_assert_msg(!tally_read(tally, bad[i], strlen(bad[i])), "%s", bad[i]);
		tally_free(tally);
	}
	memset(long_line, 'x', sizeof long_line);

	struct tally *tally = tally_new();

	ck_assert(!tally_read(tally, long_line, sizeof long_line));
	tally_free(tally);
}
END_TEST

static void note_event(const char *type, const char *data, void *arg)
{
	strcat(strcat(strcat(strcat(arg, type), "="), data), ";");
}

START_TEST(events_are_read_however_the_stream_is_cut)
{
	static const char stream[] = ": hello\n\nid: 1-1\nevent: applied\ndata: {\"a\":1}\n\n"
				     "event:reset\r\ndata:{}\r\n\r\ndata: x\n\n";

	for (size_t step = 1; step < sizeof stream; step++) {
		char          text[256] = "";
		struct events events = { .each = note_event, .arg = text };

		for (size_t at = 0; at < sizeof stream - 1; at += step) {
			size_t left = sizeof stream - 1 - at;

			ck_assert(events_read(&events, stream + at, left < step ? left : step));
		}
		ck_assert_str_eq(text, "applied={\"a\":1};reset={};message=x;");
	}
}
END_TEST

START_TEST(an_event_line_has_a_limit)
{
	char          text[256] = "";
	struct events events = { .each = note_event, .arg = text };
	bool          goes_on = true;

	for (int i = 0; i < EVENTS_LINE_MOST && goes_on; i++)
		goes_on = events_read(&events, "x", 1);
	ck_assert(!goes_on);
}
END_TEST

void test_tally(TCase *tc)
{
	tcase_add_test(tc, records_are_summed_however_the_answer_is_cut);
	tcase_add_test(tc, what_is_no_such_answer_is_refused);
	tcase_add_test(tc, events_are_read_however_the_stream_is_cut);
	tcase_add_test(tc, an_event_line_has_a_limit);
}
