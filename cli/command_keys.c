#include <stdio.h>
#include <string.h>

#include "base/key.h"
#include "cli/commands.h"

int command_genkey(void)
{
	struct tg_key key;
	char          text[TG_KEY_TEXT];

	tg_key_make(&key);
	puts(tg_key_print(&key, text));
	return command_done();
}

int command_pubkey(void)
{
	struct tg_key private_key;
	struct tg_key public_key;
	char          text[TG_KEY_TEXT + 2];
	size_t        len = fread(text, 1, sizeof text, stdin);

	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (!tg_key_read(text, len, &private_key)) {
		fputs("tollgate: standard input is no private key (base64 of 32 bytes)\n", stderr);
		return 1;
	}
	if (tg_key_public(&private_key, &public_key) == -1) {
		fputs("tollgate: out of memory\n", stderr);
		return 1;
	}
	puts(tg_key_print(&public_key, text));
	return command_done();
}
