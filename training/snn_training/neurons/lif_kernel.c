/* Recurrence of one LIF layer over a whole sequence, forward and backward, float32.
 *
 *   U' = beta U + I - s(U) U_thr (soft reset)  or  U' = beta U (1 - s(U)) + I (hard reset),
 *
 * with U first zeroed where a sequence restarts (keep = 0; keep may be NULL). Arrays are (ticks,
 * rows, neurons), row by row. A block of rows runs through all ticks before the next block starts,
 * so that its state stays in the first cache.
 */
#include <stddef.h>

#define BLOCK_FLOATS 4096 /* 16 kB a stream: the streams of a block fit the first two caches */

static size_t block_rows(size_t rows, size_t neurons)
{
    size_t block = BLOCK_FLOATS / neurons;
    if (block < 1) block = 1;
    return block < rows ? block : rows;
}

static size_t smaller(size_t one, size_t other) { return one < other ? one : other; }

/* One tick of one row; after holds the input current on entry. */
static void forward_row(size_t neurons, float hard, float kept, const float *restrict before,
                        const float *restrict beta, const float *restrict threshold,
                        float *restrict after, float *restrict spike)
{
    for (size_t n = 0; n < neurons; n++) {
        const float u = kept * before[n];
        const float fired = u > threshold[n] ? 1.0f : 0.0f;
        const float left = (1.0f - hard * fired) * u;
        const float next = (beta[n] * left + after[n]) - (1.0f - hard) * (fired * threshold[n]);
        after[n] = next;
        spike[n] = next > threshold[n] ? 1.0f : 0.0f;
    }
}

/* One tick of one row; carried is the gradient of the membrane after the tick, then before it. */
static void backward_row(size_t neurons, float hard, float kept, float slope,
                         const float *restrict before, const float *restrict after,
                         const float *restrict beta, const float *restrict threshold,
                         const float *restrict grad_spike, float *restrict grad_current,
                         float *restrict carried, float *restrict to_bias,
                         float *restrict to_beta, float *restrict to_threshold)
{
    for (size_t n = 0; n < neurons; n++) {
        const float distance = after[n] - threshold[n];
        const float width = 1.0f + slope * (distance < 0.0f ? -distance : distance);
        const float direct = grad_spike[n] / (width * width);
        const float total = direct + carried[n];
        const float u = kept * before[n];
        const float fired = u > threshold[n] ? 1.0f : 0.0f;
        const float left = 1.0f - hard * fired;
        grad_current[n] = total;
        carried[n] = (kept * left) * (total * beta[n]);
        to_bias[n] += total;
        to_beta[n] += total * (left * u);
        to_threshold[n] -= direct + (1.0f - hard) * (fired * total);
    }
}

/* membranes holds the input currents on entry and the membranes after each tick on return; start
 * holds the membrane before the sequence (rows, neurons).
 */
void lif_forward(size_t ticks, size_t rows, size_t neurons, int hard, const float *start,
                 const float *beta, const float *threshold, const float *keep, float *membranes,
                 float *spikes)
{
    const size_t layer = rows * neurons, block = block_rows(rows, neurons);
    for (size_t first = 0; first < rows; first += block)
        for (size_t tick = 0; tick < ticks; tick++)
            for (size_t row = first; row < smaller(first + block, rows); row++) {
                const size_t place = tick * layer + row * neurons;
                forward_row(neurons, hard ? 1.0f : 0.0f, keep ? keep[tick * rows + row] : 1.0f,
                            tick ? membranes + place - layer : start + row * neurons, beta,
                            threshold, membranes + place, spikes + place);
            }
}

/* later holds the gradient of the last membrane on entry and of the first one on return. sums (3,
 * neurons) are the gradients of the bias, beta and the threshold: they are gathered block by block
 * in parts (3, neurons), so that rounding does not grow with the size of the batch.
 */
void lif_backward(size_t ticks, size_t rows, size_t neurons, int hard, float slope,
                  const float *start, const float *beta, const float *threshold, const float *keep,
                  const float *membranes, const float *grad_spikes, float *grad_current,
                  float *later, float *sums, float *parts)
{
    const size_t layer = rows * neurons, block = block_rows(rows, neurons);
    for (size_t n = 0; n < 3 * neurons; n++) sums[n] = 0.0f;
    for (size_t first = 0; first < rows; first += block) {
        for (size_t n = 0; n < 3 * neurons; n++) parts[n] = 0.0f;
        for (size_t tick = ticks; tick-- > 0;)
            for (size_t row = first; row < smaller(first + block, rows); row++) {
                const size_t place = tick * layer + row * neurons;
                backward_row(neurons, hard ? 1.0f : 0.0f, keep ? keep[tick * rows + row] : 1.0f,
                             slope, tick ? membranes + place - layer : start + row * neurons,
                             membranes + place, beta, threshold, grad_spikes + place,
                             grad_current + place, later + row * neurons, parts, parts + neurons,
                             parts + 2 * neurons);
            }
        for (size_t n = 0; n < 3 * neurons; n++) sums[n] += parts[n];
    }
}
