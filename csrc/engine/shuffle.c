/* The order of rows in a pass over the data; its Python twin is shuffle() in backends/interp.py. */
#include "rng.h"
#include "run.h"

#define FN_SHUFFLE_OP 0xFFFF /* no op of a plan has this number, so no mask uses these words */

void fn_shuffle(int64_t *order, const int64_t *chosen, int64_t n, uint64_t seed, int64_t pass)
{
    uint32_t words[FN_RANDOM_GROUP];
    for (int64_t i = 0; i < n; i++) order[i] = chosen ? chosen[i] : i;
    for (int64_t group = (n - 1) / FN_RANDOM_GROUP; n > 1 && group >= 0; group--) {
        for (int64_t b = 0; b < FN_RANDOM_BLOCKS; b++) {
            uint32_t block[4];
            fn_random_block(block, (int64_t)seed, pass, FN_SHUFFLE_OP, (uint64_t)(group * FN_RANDOM_BLOCKS + b));
            for (int64_t k = 0; k < 4; k++) words[k * FN_RANDOM_BLOCKS + b] = block[k];
        }
        const int64_t first = group * FN_RANDOM_GROUP;
        const int64_t last = first + FN_RANDOM_GROUP - 1 < n - 1 ? first + FN_RANDOM_GROUP - 1 : n - 1;
        for (int64_t i = last; i >= first && i > 0; i--) {
            /* the word is shorter than n by at least 2^32 / n times: no j is likelier than another by more than n / 2^32 */
            const int64_t j = (int64_t)((uint64_t)words[i - first] * (uint64_t)(i + 1) >> 32);
            const int64_t row = order[i];
            order[i] = order[j];
            order[j] = row;
        }
    }
}
