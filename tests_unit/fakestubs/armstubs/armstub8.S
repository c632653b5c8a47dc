/* The least a stub has: it starts the kernel whose address the firmware writes at 0xfc, with the DTB's from 0xf8. */
	.globl _start
_start:
#ifdef GIC
	ldr	x1, =0xff841000		/* the GIC's distributor on BCM2711 */
	mov	w2, #3			/* both groups of interrupts on */
	str	w2, [x1]
#endif
	ldr	w4, kernel
	ldr	w0, dtb
	mov	x1, xzr
	mov	x2, xzr
	mov	x3, xzr
	br	x4
	.ltorg
	.org	0xf0
	.word	0x5afe570b		/* by this the firmware knows a stub that it may write to */
	.word	0
dtb:	.word	0
kernel:	.word	0
