#include "api/errors.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/model.h"

void test_errors(TCase *tc);

START_TEST(codes_have_the_status_of_the_interface)
{
	static const struct {
		enum api_error error;
		int status;
		const char *code;
	} expected[] = {
		{ API_BAD_REQUEST, 400, "BAD_REQUEST" },
		{ API_CONFIG_INVALID, 400, "CONFIG_INVALID" },
		{ API_UNAUTHENTICATED, 401, "UNAUTHENTICATED" },
		{ API_FORBIDDEN, 403, "FORBIDDEN" },
		{ API_NOT_FOUND, 404, "NOT_FOUND" },
		{ API_METHOD_NOT_ALLOWED, 405, "METHOD_NOT_ALLOWED" },
		{ API_CONFLICT, 409, "CONFLICT" },
		{ API_GONE, 410, "GONE" },
		{ API_PRECONDITION_FAILED, 412, "PRECONDITION_FAILED" },
		{ API_TOO_LARGE, 413, "TOO_LARGE" },
		{ API_UNSUPPORTED_MEDIA_TYPE, 415, "UNSUPPORTED_MEDIA_TYPE" },
		{ API_APPLY_INCOMPLETE, 500, "APPLY_INCOMPLETE" },
		{ API_INTERNAL, 500, "INTERNAL" },
		{ API_NOT_READY, 503, "NOT_READY" },
	};

	ck_assert_uint_eq(sizeof(expected) / sizeof(expected[0]), API_ERRORS);
	for (size_t i = 0; i < API_ERRORS; i++) {
		ck_assert_int_eq(errors_status(expected[i].error), expected[i].status);
		ck_assert_str_eq(errors_code(expected[i].error), expected[i].code);
		ck_assert_str_ne(errors_phrase(expected[i].status), "Unknown");
	}
}
END_TEST

START_TEST(the_error_object_stands_alone_for_an_answer_with_more)
{
	char *text = api_error_print(API_APPLY_INCOMPLETE, "one is not up", NULL);

	ck_assert_str_eq(text,
	                 "{\"code\":\"APPLY_INCOMPLETE\",\"message\":\"one is not up\",\"details\":[]}");
	free(text);
}
END_TEST

START_TEST(a_hundred_details_are_printed_escaped)
{
	struct model_faults *faults = calloc(1, sizeof(*faults));
	char *text, *at;
	unsigned count = 0;

	for (size_t i = 0; i < MODEL_FAULTS_MOST; i++)
		model_faults_add(faults, "/51820/peers/a~1b", "\"%zu\"", i);
	text = errors_print_faults("CONFIG_INVALID", "line\nbreak", faults);
	ck_assert_ptr_nonnull(strstr(text, "\"message\":\"line\\nbreak\""));
	ck_assert_ptr_nonnull(strstr(text, "{\"path\":\"/51820/peers/a~1b\",\"message\":\"\\\"99\\\"\"}]"));
	for (at = text; (at = strstr(at, "\"path\"")) != NULL; at++)
		count++;
	ck_assert_uint_eq(count, MODEL_FAULTS_MOST);
	free(text);
	model_faults_clear(faults);
	free(faults);
}
END_TEST

START_TEST(a_fault_whose_path_found_no_memory_is_printed_too)
{
	struct model_faults *faults = calloc(1, sizeof(*faults));
	char *text;

	faults->count = faults->total = 1;
	text = errors_print_faults("X", "m", faults);
	ck_assert_str_eq(text, "{\"error\":{\"code\":\"X\",\"message\":\"m\",\"details\":[{\"path\":\"\","
	                       "\"message\":\"\"}]}}");
	free(text);
	free(faults);
}
END_TEST

void test_errors(TCase *tc)
{
	tcase_add_test(tc, codes_have_the_status_of_the_interface);
	tcase_add_test(tc, the_error_object_stands_alone_for_an_answer_with_more);
	tcase_add_test(tc, a_hundred_details_are_printed_escaped);
	tcase_add_test(tc, a_fault_whose_path_found_no_memory_is_printed_too);
}
