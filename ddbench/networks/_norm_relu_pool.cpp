// Instance norm, ReLU and 2x2 average pooling of channels-last maps, and their gradient, for ddbench/networks/_native.py.
//
// One image and one block of channels at a time: what the first pass over it reads, the second finds in the cache.
// Each (image, channel) is computed by one thread in one order, so that the number of threads changes no number.
// Formulas: NormReluPool in ddbench/networks/_fused.py.

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

struct bfloat16 {
    uint16_t bits;
};

template <class T>
struct ComputedIn {
    using type = float;
};
template <>
struct ComputedIn<double> {
    using type = double;
};

template <class A, int N>
struct Lanes {
    typedef A type __attribute__((vector_size(sizeof(A) * N)));
};

template <class A, int N>
using Vector = typename Lanes<A, N>::type;

template <class A, int N>
inline Vector<A, N> load(const A* from) {
    Vector<A, N> values;
    std::memcpy(&values, from, sizeof values);
    return values;
}

template <class A, int N>
inline void store(A* to, Vector<A, N> values) {
    std::memcpy(to, &values, sizeof values);
}

template <class A, int N>
inline Vector<A, N> load(const bfloat16* from) {
    Vector<uint16_t, N> halves;
    std::memcpy(&halves, from, sizeof halves);
    return (Vector<A, N>)(__builtin_convertvector(halves, Vector<uint32_t, N>) << 16);
}

template <class A, int N>
inline void store(bfloat16* to, Vector<A, N> values) {
    const Vector<uint32_t, N> bits = (Vector<uint32_t, N>)values;
    const Vector<uint32_t, N> rounded = bits + 0x7fffu + ((bits >> 16) & 1u);  // to the nearest, halves to even
    const Vector<uint16_t, N> halves = __builtin_convertvector(rounded >> 16, Vector<uint16_t, N>);
    std::memcpy(to, &halves, sizeof halves);
}

template <class A, int N>
inline Vector<A, N> rectify(Vector<A, N> values, Vector<A, N> kept) {
    return values <= 0 ? Vector<A, N>{} : kept;  // what is no number stays none, as in torch
}

struct Sides {
    int64_t batch, height, width, channels;
    int64_t places() const { return height * width; }
};

// What the backward pass takes from the forward pass, each (batch, channels).
template <class A>
struct Statistics {
    A *scale, *shift, *mean, *inverse_std;
};

template <class A>
Statistics<A> statistics_at(A* kept, const Sides& sides, int64_t at) {
    const int64_t count = sides.batch * sides.channels;
    return {kept + at, kept + count + at, kept + 2 * count + at, kept + 3 * count + at};
}

// U vectors of N channels beside each other.
template <class T, int N, int U>
struct Block {
    using A = typename ComputedIn<T>::type;
    using V = Vector<A, N>;

    static void forward(const T* maps, T* pooled, const A* weight, const A* bias, A eps, Sides sides,
                        Statistics<A> kept) {
        const int64_t row = sides.width * sides.channels, step = sides.channels;
        V near[U] = {}, total[U] = {}, squares[U] = {};
        for (int64_t x = 0; x < sides.width; ++x)
            for (int u = 0; u < U; ++u) near[u] += load<A, N>(maps + x * step + u * N);
        for (int u = 0; u < U; ++u) near[u] /= A(sides.width);
        // What is subtracted first lies so near the mean that squares lose no digits that count.
        for (int64_t y = 0; y < sides.height; ++y) {
            V of_row[U] = {}, squares_of_row[U] = {};
            for (int64_t x = 0; x < sides.width; ++x)
                for (int u = 0; u < U; ++u) {
                    const V beside = load<A, N>(maps + y * row + x * step + u * N) - near[u];
                    of_row[u] += beside;
                    squares_of_row[u] += beside * beside;
                }
            for (int u = 0; u < U; ++u) total[u] += of_row[u], squares[u] += squares_of_row[u];
        }
        V scale[U], shift[U];
        for (int u = 0; u < U; ++u) {
            const V beside = total[u] / A(sides.places());
            const V variance = squares[u] / A(sides.places()) - beside * beside;
            V inverse_std;
            for (int lane = 0; lane < N; ++lane)
                inverse_std[lane] = 1 / std::sqrt((variance[lane] < 0 ? 0 : variance[lane]) + eps);
            const V mean = near[u] + beside;
            scale[u] = inverse_std * load<A, N>(weight + u * N);
            shift[u] = load<A, N>(bias + u * N) - mean * scale[u];
            store<A, N>(kept.scale + u * N, scale[u]);
            store<A, N>(kept.shift + u * N, shift[u]);
            store<A, N>(kept.mean + u * N, mean);
            store<A, N>(kept.inverse_std + u * N, inverse_std);
        }
        for (int64_t y = 0; y < sides.height / 2; ++y)
            for (int64_t x = 0; x < sides.width / 2; ++x, pooled += step)
                for (int u = 0; u < U; ++u) {
                    V sum = {};
                    for (int corner = 0; corner < 4; ++corner) {
                        const T* place = maps + (2 * y + corner / 2) * row + (2 * x + corner % 2) * step + u * N;
                        const V value = load<A, N>(place) * scale[u] + shift[u];
                        sum += rectify<A, N>(value, value);
                    }
                    store<A, N>(pooled + u * N, sum / A(4));
                }
    }

    // The maps' gradient takes the place of the maps.
    static void backward(T* maps, const T* gradient, Sides sides, Statistics<A> kept, A* by_weight, A* by_bias) {
        const int64_t row = sides.width * sides.channels, step = sides.channels;
        const int64_t pooled_row = sides.width / 2 * step;
        V scale[U], shift[U], mean[U], weight_sum[U] = {}, bias_sum[U] = {};
        for (int u = 0; u < U; ++u) {
            scale[u] = load<A, N>(kept.scale + u * N);
            shift[u] = load<A, N>(kept.shift + u * N);
            mean[u] = load<A, N>(kept.mean + u * N);
        }
        for (int64_t y = 0; y < sides.height / 2; ++y) {
            V weight_of_row[U] = {}, bias_of_row[U] = {};
            for (int64_t x = 0; x < sides.width / 2; ++x)
                for (int u = 0; u < U; ++u) {
                    const V quarter = load<A, N>(gradient + y * pooled_row + x * step + u * N) / A(4);
                    for (int corner = 0; corner < 4; ++corner) {
                        const V value = load<A, N>(maps + (2 * y + corner / 2) * row + (2 * x + corner % 2) * step + u * N);
                        const V rectified = rectify<A, N>(value * scale[u] + shift[u], quarter);
                        bias_of_row[u] += rectified;
                        weight_of_row[u] += rectified * (value - mean[u]);
                    }
                }
            for (int u = 0; u < U; ++u) weight_sum[u] += weight_of_row[u], bias_sum[u] += bias_of_row[u];
        }
        V slope[U], offset[U];
        for (int u = 0; u < U; ++u) {
            const V inverse_std = load<A, N>(kept.inverse_std + u * N);
            weight_sum[u] *= inverse_std;
            store<A, N>(by_weight + u * N, weight_sum[u]);
            store<A, N>(by_bias + u * N, bias_sum[u]);
            slope[u] = inverse_std * weight_sum[u] / A(sides.places());
            offset[u] = bias_sum[u] / A(sides.places());
        }
        for (int64_t y = 0; y < sides.height / 2; ++y)
            for (int64_t x = 0; x < sides.width / 2; ++x)
                for (int u = 0; u < U; ++u) {
                    const V quarter = load<A, N>(gradient + y * pooled_row + x * step + u * N) / A(4);
                    for (int corner = 0; corner < 4; ++corner) {
                        T* place = maps + (2 * y + corner / 2) * row + (2 * x + corner % 2) * step + u * N;
                        const V value = load<A, N>(place);
                        const V rectified = rectify<A, N>(value * scale[u] + shift[u], quarter);
                        store<A, N>(place, scale[u] * (rectified - offset[u] - (value - mean[u]) * slope[u]));
                    }
                }
        // An odd last row or column is not pooled.
        for (int64_t y = 0; y < sides.height; ++y)
            for (int64_t x = y < sides.height / 2 * 2 ? sides.width / 2 * 2 : 0; x < sides.width; ++x)
                for (int u = 0; u < U; ++u) {
                    T* place = maps + y * row + x * step + u * N;
                    const V value = load<A, N>(place);
                    store<A, N>(place, scale[u] * (-offset[u] - (value - mean[u]) * slope[u]));
                }
    }
};

// Calls `work(image, first channel, Block)` for every block of every image, in parallel.
template <class T, class Work>
void for_each_block(Sides sides, int threads, Work work) {
    constexpr int lanes = 64 / sizeof(typename ComputedIn<T>::type), wide = 4 * lanes;
    const int64_t wides = sides.channels / wide, narrows = sides.channels % wide / lanes;
    const int64_t singles = sides.channels % lanes, blocks = wides + narrows + singles;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < sides.batch * blocks; ++task) {
        const int64_t image = task / blocks, block = task % blocks;
        if (block < wides)
            work(image, block * wide, Block<T, lanes, 4>());
        else if (block < wides + narrows)
            work(image, wides * wide + (block - wides) * lanes, Block<T, lanes, 1>());
        else
            work(image, sides.channels - singles + block - wides - narrows, Block<T, 1, 1>());
    }
}

template <class T, class A>
void forward(const T* maps, T* pooled, const A* weight, const A* bias, double eps, Sides sides, A* kept, int threads) {
    const int64_t size = sides.places() * sides.channels;
    const int64_t pooled_size = (sides.height / 2) * (sides.width / 2) * sides.channels;
    for_each_block<T>(sides, threads, [=](int64_t image, int64_t channel, auto block) {
        block.forward(maps + image * size + channel, pooled + image * pooled_size + channel, weight + channel,
                      bias + channel, A(eps), sides, statistics_at(kept, sides, image * sides.channels + channel));
    });
}

template <class T, class A>
void backward(T* maps, const T* gradient, Sides sides, A* kept, A* by_weight, A* by_bias, int threads) {
    const int64_t size = sides.places() * sides.channels;
    const int64_t pooled_size = (sides.height / 2) * (sides.width / 2) * sides.channels;
    for_each_block<T>(sides, threads, [=](int64_t image, int64_t channel, auto block) {
        const int64_t at = image * sides.channels + channel;
        block.backward(maps + image * size + channel, gradient + image * pooled_size + channel, sides,
                       statistics_at(kept, sides, at), by_weight + at, by_bias + at);
    });
}

}  // namespace

#define EXPORT(NAME, T, A)                                                                                         \
    extern "C" void forward_##NAME(const T* maps, T* pooled, const A* weight, const A* bias, double eps,           \
                                   int64_t batch, int64_t height, int64_t width, int64_t channels, A* kept,        \
                                   int threads) {                                                                  \
        forward(maps, pooled, weight, bias, eps, {batch, height, width, channels}, kept, threads);                 \
    }                                                                                                              \
    extern "C" void backward_##NAME(T* maps, const T* gradient, int64_t batch, int64_t height, int64_t width,      \
                                    int64_t channels, A* kept, A* by_weight, A* by_bias, int threads) {            \
        backward(maps, gradient, {batch, height, width, channels}, kept, by_weight, by_bias, threads);             \
    }

EXPORT(float32, float, float)
EXPORT(float64, double, double)
EXPORT(bfloat16, bfloat16, float)
