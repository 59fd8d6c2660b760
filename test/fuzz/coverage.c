/* Records which parts of code compiled with -fsanitize-coverage=trace-pc have run; to be preloaded. */
#include <stdint.h>

unsigned char nephi_coverage[1 << 16];

void
__sanitizer_cov_trace_pc(void)
{
  nephi_coverage[(uintptr_t)__builtin_return_address(0) & 0xffff] = 1;
}
