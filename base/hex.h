/* Hexadecimal digits, as strangers write them. */
#ifndef TOLLGATE_BASE_HEX_H
#define TOLLGATE_BASE_HEX_H

/* The value of a digit of either case, -1 when it is none. */
static inline int tg_hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 'a' - 'A';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
