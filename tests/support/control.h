/* The control process as a thread of the test, which is its supervisor, its engine, its workers and its
 * clients: over real channels, with a real database in a directory of its own. */
#ifndef TOLLGATE_TESTS_SUPPORT_CONTROL_H
#define TOLLGATE_TESTS_SUPPORT_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/msg.h"
#include "base/snapshot.h"

/* Begins it with one worker and an engine, up to MSG_GO; samples come each `sample_ms`. */
void control_begin(uint64_t sample_ms);
/* Makes its directory, which becomes the working one: for who wants to put something there first. */
void control_home(void);
/* The same in parts: between the two the test may send what it likes. */
void control_start(uint64_t sample_ms);
void control_go(void);
/* Sends MSG_STOP, answers what is still asked with `last`, waits for the end. */
void control_end(const struct snapshot *last);

/* Ends of the test, -1 when closed. */
int control_supervisor(void);
int control_engine(void);
int control_worker(void);
/* Closes the engine's end and waits until control has seen it; control_engine_again() makes a new one. */
void control_engine_dies(void);
void control_engine_again(void);
/* From here on there is none who must obey. */
void control_worker_dies(void);

/* Sends a message; `fd` -1: none, else it is closed here. */
void control_tell(int end, enum msg_type type, const void *body, int fd);
/* Reads the next message and fails the test unless it is of that type.  Looks are answered with an empty
 * snapshot on the way when `type` is another.  A descriptor goes to *fd; NULL: it is closed. */
void control_hear(int end, enum msg_role other, enum msg_type type, struct msg *msg, int *fd);
/* Fails the test when anything comes within a moment: of the engine's, but for looks. */
void control_hears_nothing(int end);
/* Reads a look and answers with `with` (NULL: nothing) when told to. */
uint64_t control_hears_look(void);
void control_looks(uint64_t id, const struct snapshot *with);
/* Whether anything comes within a moment. */
bool control_comes(int end);
/* Makes a segment file with this in slot 0, and tells control of it. */
int control_segment(const char *name, uint32_t index, bool live, const struct msg_slot *first);
/* So much time passes for control: what it has set a timer for within that happens now. */
void control_passes(unsigned ms);
/* A network of the document DOCUMENT() of tests/support/document.h that is up, in `state`. */
void control_network_up(struct snapshot_network *network, uint16_t port, const char *public_key);
/* Answers as the engine: all of `networks` are as they say. */
void control_engine_reports(uint64_t seq, uint64_t generation, struct snapshot_network *networks,
                            size_t count);
/* The worker obeys the table that comes, a descriptor of which is returned. */
int control_worker_obeys(void);
/* Posts the document (with ' for "), plays the engine to which `networks` then are so, and the worker, to
 * whom a table comes when `table` is not NULL.  Returns the answer: free() it. */
char *control_applies(const char *document, struct snapshot_network *networks, size_t count, int *table);

/* Control's thread gets no further until the database is closed: it is to store what came from the engine
 * before all that the engine sends from here on.  So many MSG_LEDGER_DONE then come first. */
#define CONTROL_HELD_LEDGERS 8
struct sqlite3 *control_thread_held(void);

/* Sends a request and returns the descriptor; the answer comes by control_answer(). */
int control_ask(const char *method, const char *path, const char *fields, const char *body);
/* Reads until the end of the connection.  free() it. */
char *control_answer(int client);
/* Reads what comes until `text` is in it; fails the test when it does not.  free() it. */
char *control_answer_until(int client, const char *text);

#endif
