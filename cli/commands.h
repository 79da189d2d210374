/* What each command does.  All return the exit status: 0, or 1 when refused or failed (said on
 * standard error then). */
#ifndef TOLLGATE_CLI_COMMANDS_H
#define TOLLGATE_CLI_COMMANDS_H

struct args;
struct client_answer;
struct tg_error;

int command_apply(const struct args *args);
int command_get(const struct args *args);
int command_status(const struct args *args);
int command_traffic(const struct args *args);
int command_events(const struct args *args);
int command_genkey(void);
int command_pubkey(void);

/* Say it, return 1. */
int command_failed(const struct tg_error *err);
int command_refused(const struct client_answer *answer);
/* 0, or 1 when standard output could not be written (a full disk, a closed pipe). */
int command_done(void);

#endif
