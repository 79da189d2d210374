/* wireguard-go as a program. */
#ifndef TOLLGATE_NETNS_USERSPACE_H
#define TOLLGATE_NETNS_USERSPACE_H

/* Its path, NULL when it is not installed. */
const char *userspace_program(void);

#endif
