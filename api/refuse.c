#include "api/refuse.h"

#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/ssl.h>

#include "api/conn.h"
#include "api/errors.h"
#include "api/request.h"
#include "base/fd.h"

static void on_written(struct bufferevent *bev, void *arg)
{
	SSL *ssl = bufferevent_openssl_get_ssl(bev);

	(void)arg;
	/* Reading goes on for a while: closing now would reset the connection, and what was written
	 * could be lost on its way. */
	if (ssl != NULL)
		SSL_shutdown(ssl);
	else
		shutdown(bufferevent_getfd(bev), SHUT_WR);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) != 0)
		conn_close(arg);
}

int refuse_write(struct conn *conn)
{
	const struct gate *gate = &conn->gate;
	struct evbuffer *output = bufferevent_get_output(conn->bev);
	TG_AUTO_FREE char *body = gate_print(gate);

	if (body == NULL)
		return -1;
	bufferevent_setcb(conn->bev, NULL, on_written, on_event, conn);
	if (evbuffer_add_printf(output,
	                        "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
	                        "%s%s%s%s%sConnection: close\r\n\r\n",
	                        gate->status, errors_phrase(gate->status), strlen(body),
	                        gate->status == 401 ? "WWW-Authenticate: Bearer\r\n" : "",
	                        gate->status == 503 ? "Retry-After: " REQUEST_RETRY_AFTER "\r\n" : "",
	                        gate->allow[0] == '\0' ? "" : "Allow: ", gate->allow,
	                        gate->allow[0] == '\0' ? "" : "\r\n") == -1)
		return -1;
	if (gate->head.method != HEAD_HEAD && evbuffer_add(output, body, strlen(body)) == -1)
		return -1;
	return bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
}

/* evhttp enables writing again when it has an answer. */
static void on_continue_written(struct bufferevent *bev, void *arg)
{
	(void)arg;
	bufferevent_disable(bev, EV_WRITE);
}

void refuse_continue(struct conn *conn)
{
	bufferevent_data_cb on_read, on_write;
	bufferevent_event_cb on_other;
	void *arg;

	/* evhttp's own would take this for the end of an answer. */
	bufferevent_getcb(conn->bev, &on_read, &on_write, &on_other, &arg);
	bufferevent_setcb(conn->bev, on_read, on_continue_written, on_other, arg);
	evbuffer_add_printf(bufferevent_get_output(conn->bev), "HTTP/1.1 100 Continue\r\n\r\n");
	bufferevent_enable(conn->bev, EV_WRITE);
}
