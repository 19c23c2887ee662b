// Instance norm of channels-last maps, and what follows it: nothing, ReLU, or ReLU and 2x2 average pooling; their
// gradient, and the gradient of that gradient, for ddbench/engine/native/block.py.
//
// With N places per channel, mean m, s = 1 / standard deviation, weight w, h = s * (maps - m), and r the pooled
// gradient's quarter where the ReLU passes (without pooling all of it, without ReLU everywhere):
//   pooled = mean over 2x2 places of relu(w * h + bias)
//   by_bias = sum r,   by_weight = sum r * h,   by_maps = w * s * (r - mean r - h * mean(r * h)).
// For cotangents u of by_maps, a of by_weight and b of by_bias, with A = mean(u * h), B = mean(r * h) and
// D = mean(u * r) - mean(u) * mean(r):
//   of the pooled gradient: w * s * (u - mean u - h * A) + a * h + b, a quarter of it summed where the ReLU passes
//   of the weight:          N * s * (D - A * B)
//   of the maps:            -w * s^2 * (h * (D - 3 * A * B) + B * (u - mean u) + A * (r - mean r))
//                           + a * s * (r - mean r - h * B).
//
// One image and one block of channels at a time: what the first pass over it reads, the second finds in the cache.
// Each (image, channel) is computed by one thread in one order, so that the number of threads changes no number.

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
    return values <= 0 ? Vector<A, N>{} : kept;  // NaN stays NaN, as in torch
}

struct Sides {
    int64_t batch, height, width, channels;
    int64_t places() const { return height * width; }
    int64_t size() const { return places() * channels; }
    int64_t pooled_size(int side) const { return (height / side) * (width / side) * channels; }
};

// What follows the norm: pooling of side x side places, and before it a ReLU or none.
template <int Side, bool Rectifies>
struct Form {
    static constexpr int side = Side, corners = Side * Side;
    static constexpr bool rectifies = Rectifies;
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

// U vectors of N channels beside each other; F is a Form.
template <class T, int N, int U, class F>
struct Block {
    using A = typename ComputedIn<T>::type;
    using V = Vector<A, N>;
    static constexpr int S = F::side;

    // `kept` where the ReLU, if there is one, passes `values`.
    static inline V rectified(V values, V kept) {
        if constexpr (F::rectifies) return rectify<A, N>(values, kept);
        return kept;
    }

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
        for (int64_t y = 0; y < sides.height / S; ++y)
            for (int64_t x = 0; x < sides.width / S; ++x, pooled += step)
                for (int u = 0; u < U; ++u) {
                    V sum = {};
                    for (int corner = 0; corner < F::corners; ++corner) {
                        const T* place = maps + (S * y + corner / S) * row + (S * x + corner % S) * step + u * N;
                        const V value = load<A, N>(place) * scale[u] + shift[u];
                        sum += rectified(value, value);
                    }
                    store<A, N>(pooled + u * N, sum / A(F::corners));
                }
    }

    // Statistics of the block's channels.
    struct Channels {
        V scale[U], shift[U], mean[U], inverse_std[U];
        explicit Channels(Statistics<A> kept) {
            for (int u = 0; u < U; ++u) {
                scale[u] = load<A, N>(kept.scale + u * N), shift[u] = load<A, N>(kept.shift + u * N);
                mean[u] = load<A, N>(kept.mean + u * N), inverse_std[u] = load<A, N>(kept.inverse_std + u * N);
            }
        }
    };

    // What stands at one place of the maps: its position, the value less the mean, whether the ReLU passes (not <= 0),
    // and its share of the pooled gradient, zero in an odd last row or column, which is not pooled.
    struct Place {
        int64_t at;
        V beside, passes, share;
        V gradient() const { return rectified(passes, share); }
    };

    // Calls `visit(u, place)` everywhere, `pool(u, at)` after the four places of a pooled one, `end_row()` after a row.
    template <class Visit, class Pool, class EndRow>
    static inline __attribute__((always_inline)) void for_each_place(const T* maps, const T* gradient, Sides sides,
                                                                     const Channels& of, Visit visit, Pool pool,
                                                                     EndRow end_row) {
        const int64_t row = sides.width * sides.channels, step = sides.channels;
        const int64_t pooled_row = sides.width / S * step;
        const auto place_at = [&](int u, int64_t at, V share) {
            const V value = load<A, N>(maps + at);
            return Place{at, value - of.mean[u], value * of.scale[u] + of.shift[u], share};
        };
        for (int64_t y = 0; y < sides.height / S; ++y, end_row())
            for (int64_t x = 0; x < sides.width / S; ++x)
                for (int u = 0; u < U; ++u) {
                    const int64_t pooled_at = y * pooled_row + x * step + u * N;
                    const V share = load<A, N>(gradient + pooled_at) / A(F::corners);
                    for (int corner = 0; corner < F::corners; ++corner) {
                        const int64_t at = (S * y + corner / S) * row + (S * x + corner % S) * step + u * N;
                        visit(u, place_at(u, at, share));
                    }
                    pool(u, pooled_at);
                }
        for (int64_t y = 0; y < sides.height; ++y, end_row())
            for (int64_t x = y < sides.height / S * S ? sides.width / S * S : 0; x < sides.width; ++x)
                for (int u = 0; u < U; ++u) visit(u, place_at(u, y * row + x * step + u * N, V{}));
    }

    // Writes the maps' gradient to `by_maps`, which may be the maps themselves; `adds` it to what stands there.
    static void backward(const T* maps, const T* gradient, T* by_maps, bool adds, Sides sides, Statistics<A> kept,
                         A* by_weight, A* by_bias) {
        const Channels of(kept);
        V weight_sum[U] = {}, bias_sum[U] = {}, weight_of_row[U] = {}, bias_of_row[U] = {};
        const auto nothing = [](auto...) {};
        for_each_place(
            maps, gradient, sides, of,
            [&](int u, Place place) {
                bias_of_row[u] += place.gradient();
                weight_of_row[u] += place.gradient() * place.beside;
            },
            nothing,
            [&] {
                for (int u = 0; u < U; ++u) {
                    weight_sum[u] += weight_of_row[u], bias_sum[u] += bias_of_row[u];
                    weight_of_row[u] = bias_of_row[u] = V{};
                }
            });
        V slope[U], offset[U];
        for (int u = 0; u < U; ++u) {
            weight_sum[u] *= of.inverse_std[u];
            store<A, N>(by_weight + u * N, weight_sum[u]);
            store<A, N>(by_bias + u * N, bias_sum[u]);
            slope[u] = of.inverse_std[u] * weight_sum[u] / A(sides.places());
            offset[u] = bias_sum[u] / A(sides.places());
        }
        for_each_place(
            maps, gradient, sides, of,
            [&](int u, Place place) {
                V found = of.scale[u] * (place.gradient() - offset[u] - place.beside * slope[u]);
                if (adds) found += load<A, N>(by_maps + place.at);
                store<A, N>(by_maps + place.at, found);
            },
            nothing, nothing);
    }

    // Turns the cotangent of `by_maps` into that of the maps, in its place.
    static void second(const T* maps, const T* gradient, T* cotangent, const A* of_by_weight, const A* of_by_bias,
                       Sides sides, Statistics<A> kept, T* of_gradient, A* of_weight) {
        const Channels of(kept);
        enum { c, r, cr, ch, rh, sums };  // of u, r, u * r, u * h and r * h, but for 1 / standard deviation
        V total[sums][U] = {}, of_row[sums][U] = {};
        for_each_place(
            maps, gradient, sides, of,
            [&](int u, Place place) {
                const V value = load<A, N>(cotangent + place.at), passed = place.gradient();
                of_row[c][u] += value, of_row[r][u] += passed, of_row[cr][u] += value * passed;
                of_row[ch][u] += value * place.beside, of_row[rh][u] += passed * place.beside;
            },
            [](auto...) {},
            [&] {
                for (int sum = 0; sum < sums; ++sum)
                    for (int u = 0; u < U; ++u) total[sum][u] += of_row[sum][u], of_row[sum][u] = V{};
            });
        // `slope` is that of h in the pooled gradient's cotangent, and of r in the maps'.
        V slope[U], offset[U], by_value[U], by_beside[U], constant[U];
        for (int u = 0; u < U; ++u) {
            const V scale = of.scale[u], inverse_std = of.inverse_std[u];
            const V a = load<A, N>(of_by_weight + u * N), b = load<A, N>(of_by_bias + u * N);
            const A places = A(sides.places());
            const V mean_c = total[c][u] / places, mean_r = total[r][u] / places;
            const V along_c = inverse_std * total[ch][u] / places, along_r = inverse_std * total[rh][u] / places;
            const V product = total[cr][u] / places - mean_c * mean_r;
            store<A, N>(of_weight + u * N, places * inverse_std * (product - along_c * along_r));
            slope[u] = (a - scale * along_c) * inverse_std;
            offset[u] = b - scale * mean_c;
            by_value[u] = -scale * inverse_std * along_r;
            by_beside[u] = -inverse_std * inverse_std * (scale * (product - 3 * along_c * along_r) + a * along_r);
            constant[u] = -by_value[u] * mean_c - slope[u] * mean_r;
        }
        V pooled = {};
        for_each_place(
            maps, gradient, sides, of,
            [&](int u, Place place) {
                const V value = load<A, N>(cotangent + place.at);
                pooled += rectified(place.passes, of.scale[u] * value + slope[u] * place.beside + offset[u]);
                const V found = by_value[u] * value + slope[u] * place.gradient();
                store<A, N>(cotangent + place.at, found + (by_beside[u] * place.beside + constant[u]));
            },
            [&](int u, int64_t at) {
                store<A, N>(of_gradient + at, pooled / A(F::corners));
                pooled = V{};
            },
            [] {});
    }
};

// Calls `work(image, first channel, Block)` for every block of every image, in parallel.
template <class T, class F, class Work>
void for_each_block_of(Sides sides, int threads, Work work) {
    constexpr int lanes = 64 / sizeof(typename ComputedIn<T>::type), wide = 8 * lanes;
    const int64_t wides = sides.channels / wide, narrows = sides.channels % wide / lanes;
    const int64_t singles = sides.channels % lanes, blocks = wides + narrows + singles;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < sides.batch * blocks; ++task) {
        const int64_t image = task / blocks, block = task % blocks;
        if (block < wides)
            work(image, block * wide, Block<T, lanes, 8, F>());
        else if (block < wides + narrows)
            work(image, wides * wide + (block - wides) * lanes, Block<T, lanes, 1, F>());
        else
            work(image, sides.channels - singles + block - wides - narrows, Block<T, 1, 1, F>());
    }
}

// The same in the form that is asked for: pooling or not, rectifying or not.
template <class T, class Work>
void for_each_block(Sides sides, int pools, int rectifies, int threads, Work work) {
    if (pools)
        for_each_block_of<T, Form<2, true>>(sides, threads, work);
    else if (rectifies)
        for_each_block_of<T, Form<1, true>>(sides, threads, work);
    else
        for_each_block_of<T, Form<1, false>>(sides, threads, work);
}

template <class T, class A>
void forward(const T* maps, T* pooled, const A* weight, const A* bias, double eps, Sides sides, A* kept, int pools,
             int rectifies, int threads) {
    for_each_block<T>(sides, pools, rectifies, threads, [=](int64_t image, int64_t channel, auto block) {
        block.forward(maps + image * sides.size() + channel, pooled + image * sides.pooled_size(block.S) + channel,
                      weight + channel, bias + channel, A(eps), sides,
                      statistics_at(kept, sides, image * sides.channels + channel));
    });
}

template <class T, class A>
void backward(const T* maps, const T* gradient, T* by_maps, int adds, Sides sides, A* kept, A* by_weight, A* by_bias,
              int pools, int rectifies, int threads) {
    for_each_block<T>(sides, pools, rectifies, threads, [=](int64_t image, int64_t channel, auto block) {
        const int64_t at = image * sides.channels + channel, from = image * sides.size() + channel;
        block.backward(maps + from, gradient + image * sides.pooled_size(block.S) + channel, by_maps + from, adds, sides,
                       statistics_at(kept, sides, at), by_weight + at, by_bias + at);
    });
}

template <class T, class A>
void second(const T* maps, const T* gradient, T* cotangent, const A* of_by_weight, const A* of_by_bias, Sides sides,
            A* kept, T* of_gradient, A* of_weight, int pools, int rectifies, int threads) {
    for_each_block<T>(sides, pools, rectifies, threads, [=](int64_t image, int64_t channel, auto block) {
        const int64_t at = image * sides.channels + channel, from = image * sides.size() + channel;
        const int64_t pooled_from = image * sides.pooled_size(block.S) + channel;
        block.second(maps + from, gradient + pooled_from, cotangent + from, of_by_weight + channel,
                     of_by_bias + channel, sides, statistics_at(kept, sides, at), of_gradient + pooled_from,
                     of_weight + at);
    });
}

}  // namespace

#define EXPORT(NAME, T, A)                                                                                         \
    extern "C" void forward_##NAME(const T* maps, T* pooled, const A* weight, const A* bias, double eps,           \
                                   int64_t batch, int64_t height, int64_t width, int64_t channels, A* kept,        \
                                   int pools, int rectifies, int threads) {                                        \
        const Sides sides{batch, height, width, channels};                                                         \
        forward(maps, pooled, weight, bias, eps, sides, kept, pools, rectifies, threads);                          \
    }                                                                                                              \
    extern "C" void backward_##NAME(const T* maps, const T* gradient, T* by_maps, int adds, int64_t batch,         \
                                    int64_t height, int64_t width, int64_t channels, A* kept, A* by_weight,        \
                                    A* by_bias, int pools, int rectifies, int threads) {                           \
        const Sides sides{batch, height, width, channels};                                                         \
        backward(maps, gradient, by_maps, adds, sides, kept, by_weight, by_bias, pools, rectifies, threads);       \
    }                                                                                                              \
    extern "C" void second_##NAME(const T* maps, const T* gradient, T* cotangent, const A* of_by_weight,           \
                                  const A* of_by_bias, int64_t batch, int64_t height, int64_t width,               \
                                  int64_t channels, A* kept, T* of_gradient, A* of_weight, int pools,              \
                                  int rectifies, int threads) {                                                    \
        const Sides sides{batch, height, width, channels};                                                         \
        second(maps, gradient, cotangent, of_by_weight, of_by_bias, sides, kept, of_gradient, of_weight, pools,    \
               rectifies, threads);                                                                                \
    }

EXPORT(float32, float, float)
EXPORT(float64, double, double)
EXPORT(bfloat16, bfloat16, float)
