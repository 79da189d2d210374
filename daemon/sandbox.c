#include "daemon/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "daemon/account.h"

bool sandbox_is_relaxed(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
	return true;
#else
	return false;
#endif
#else
	return false;
#endif
}

bool sandbox_has_rights(struct tg_error *err)
{
	static const unsigned needed[] = {
		CAP_NET_ADMIN,  CAP_SYS_ADMIN,    CAP_NET_BROADCAST, CAP_SETUID,
		CAP_SETGID,     CAP_SETPCAP,      CAP_CHOWN,         CAP_FOWNER,
		CAP_SYS_CHROOT, CAP_DAC_OVERRIDE, CAP_KILL,          CAP_NET_BIND_SERVICE,
	};

	if (geteuid() != 0) {
		tg_fail(err, TG_CODE_INVALID, "must be started as root");
		return false;
	}
	capng_get_caps_process();
	for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
		if (capng_have_capability(CAPNG_EFFECTIVE, needed[i]))
			continue;
		tg_fail(err, TG_CODE_INVALID, "root lacks the capability %s here",
		        capng_capability_to_name(needed[i]));
		return false;
	}
	return true;
}

/* Stays root, with these capabilities and no way to get more. */
static int keep_capabilities(const unsigned *kept, size_t count, struct tg_error *err)
{
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < count; i++)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, kept[i]);
	if (capng_apply(CAPNG_SELECT_ALL) != 0)
		return tg_fail_sys(err, "cannot drop capabilities");
	return 0;
}

static int become(uid_t uid, gid_t gid, struct tg_error *err)
{
	if (!sandbox_is_relaxed() && chroot(".") == -1)
		return tg_fail_sys(err, "cannot change the root directory");
	if (setgroups(0, NULL) == -1 || setresgid(gid, gid, gid) == -1)
		return tg_fail_sys(err, "cannot become gid %u", gid);

	/* The bounding set can only be emptied while there are capabilities, which end with uid 0. */
	capng_clear(CAPNG_SELECT_BOUNDS);
	if (capng_apply(CAPNG_SELECT_BOUNDS) != 0)
		return tg_fail_sys(err, "cannot empty the bounding set");
	if (setresuid(uid, uid, uid) == -1)
		return tg_fail_sys(err, "cannot become uid %u", uid);
	if (setuid(0) != -1)
		return tg_fail(err, TG_CODE_SYSTEM, "could become root again");
	return 0;
}

static int become_owner(struct tg_error *err)
{
	struct stat st;

	if (stat(".", &st) == -1)
		return tg_fail_sys(err, "cannot look at the state directory");
	if (st.st_uid == 0 || st.st_uid == ACCOUNT_NOBODY)
		return tg_fail(err, TG_CODE_INVALID, "the state directory belongs to uid %u", st.st_uid);
	return become(st.st_uid, st.st_gid, err);
}

static int become_nobody(struct tg_error *err)
{
	struct stat st;

	/* Two links are `.` and a name: the empty directory has no name any more. */
	if (stat(".", &st) == -1 || st.st_nlink != 0)
		return tg_fail(err, TG_CODE_INVALID, "the working directory is not the empty one");
	return become(ACCOUNT_NOBODY, ACCOUNT_NOBODY, err);
}

static int drop_rights(enum msg_role role, struct tg_error *err)
{
	/* The last for networks whose port is below 1024: the kernel's WireGuard binds it with the rights of
	 * who sets the link up, and wireguard-go with those it inherits. */
	static const unsigned engine[] = {
		CAP_NET_ADMIN,
		CAP_SYS_ADMIN,
		CAP_NET_BROADCAST,
		CAP_NET_BIND_SERVICE,
	};
	static const unsigned broker[] = { CAP_SYS_ADMIN };

	/* Reads /proc, which is out of reach after a change of roots. */
	if (capng_get_caps_process() != 0)
		return tg_fail_sys(err, "cannot read capabilities");
	switch (role) {
	case MSG_ROLE_ENGINE:
		return keep_capabilities(engine, sizeof engine / sizeof engine[0], err);
	case MSG_ROLE_BROKER:
		return keep_capabilities(broker, sizeof broker / sizeof broker[0], err);
	case MSG_ROLE_CONTROL:
		return become_owner(err);
	case MSG_ROLE_WORKER:
		return become_nobody(err);
	case MSG_ROLE_SUPERVISOR:
	case MSG_ROLES:
		break;
	}
	return tg_fail(err, TG_CODE_INVALID, "this is no role with a sandbox");
}

int sandbox_enter(enum msg_role role, bool explain, struct tg_error *err)
{
	/* What the engine makes is no secret: all may look into /run/netns, as ip(8) has it. */
	umask(role == MSG_ROLE_ENGINE ? 0022 : 0077);
	if (drop_rights(role, err) == -1)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return tg_fail_sys(err, "cannot give up new privileges");
	/* The leak sanitizer reads its own process as a debugger does. */
	if (!sandbox_is_relaxed() && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		return tg_fail_sys(err, "cannot become undumpable");
	return sandbox_filter(role, explain, err);
}
