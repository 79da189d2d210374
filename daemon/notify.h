/* The service manager's notification protocol (sd_notify(3)): datagrams of `KEY=value` lines to
 * $NOTIFY_SOCKET.  libsystemd would bring in its compression and crypto libraries for one sendmsg. */
#ifndef TOLLGATE_DAEMON_NOTIFY_H
#define TOLLGATE_DAEMON_NOTIFY_H

/* Sends the lines; silent when nobody listens or asked. */
void notify_send(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
