/* Clients and upstreams that speak text to a worker (tests/support/ingress.h). */
#ifndef TOLLGATE_TESTS_SUPPORT_WEB_H
#define TOLLGATE_TESTS_SUPPORT_WEB_H

#include <stddef.h>
#include <stdint.h>

struct ingress;

/* Sends all of it, the worker running meanwhile. */
void web_say(struct ingress *in, int fd, const char *text);
void web_send(struct ingress *in, int fd, const void *data, size_t bytes);
/* Reads until `text` ends with `end`, not a byte more; fails the test when that does not come. */
void web_hear(struct ingress *in, int fd, char *text, size_t size, const char *end);
/* Reads a head; fails the test when its status is another. */
void web_hear_status(struct ingress *in, int fd, char *text, size_t size, unsigned status);
/* A client that has sent `request`. */
int web_ask(struct ingress *in, uint16_t port, const char *request);
/* 0 when the other end closed, with nothing before; errno when it reset. */
int web_end(struct ingress *in, int fd);
/* Fails the test when anything comes within a moment. */
void web_silence(struct ingress *in, int fd);
/* Fails the test when anybody connects within a moment. */
void web_nobody_comes(struct ingress *in, int listener);
/* Turns the clock on and fires what is due. */
void web_pass(struct ingress *in, unsigned ms);

#endif
