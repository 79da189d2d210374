#include "proxy/alert.h"

#include <stdint.h>

#define RECORD_ALERT 21
#define FATAL	     2
#define ALERT(code)  { RECORD_ALERT, 3, 3, 0, 2, FATAL, code }

const void *alert_bytes(enum alert alert, size_t *count)
{
	static const uint8_t decode_error[] = ALERT(50);
	static const uint8_t internal_error[] = ALERT(80);
	static const uint8_t unrecognized_name[] = ALERT(112);
	static const char    plain_http[] = "HTTP/1.1 400 Bad Request\r\n"
	                                    "Content-Type: text/plain\r\n"
	                                    "Content-Length: 45\r\n"
	                                    "Connection: close\r\n"
	                                    "\r\n"
	                                    "This port speaks HTTPS: use https:// instead\n";

	switch (alert) {
	case ALERT_DECODE_ERROR:
		*count = sizeof(decode_error);
		return decode_error;
	case ALERT_INTERNAL_ERROR:
		*count = sizeof(internal_error);
		return internal_error;
	case ALERT_UNRECOGNIZED_NAME:
		*count = sizeof(unrecognized_name);
		return unrecognized_name;
	case ALERT_PLAIN_HTTP:
		*count = sizeof(plain_http) - 1;
		return plain_http;
	}
	*count = 0;
	return "";
}
