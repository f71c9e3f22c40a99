// Convolutions: a product for each tap of the kernel, whose moving operand is the picture as seen through
// that tap.
#include "sim/program/train/layers.hpp"
#include "sim/program/train/update.hpp"

namespace dither::train {
namespace {

using isa::ActFunc;
using isa::Dtype;
using isa::VecFunc;

Tensor Stepped(Tensor t, std::size_t dim, std::uint32_t begin, std::uint32_t count, std::uint32_t step) {
  t = t.Slice(dim, begin, (count - 1) * step + 1);
  t.dims[dim].size = count;
  t.dims[dim].step *= step;
  return t;
}

// [channels][images][rows][width of the output] of x [channels][batch][height][width].
Tensor Seen(const Geometry& g, const Tensor& x, std::uint32_t tap, std::uint32_t n0, std::uint32_t images,
            std::uint32_t y0, std::uint32_t rows) {
  const Tensor part = x.Slice(1, n0, images);
  return Stepped(Stepped(part, 2, y0 * g.stride + tap / g.kernel, rows, g.stride), 3, tap % g.kernel, g.out_width,
                 g.stride);
}

// Calls f(first image, images, first row, rows) for what fits a bank at `height` x `width` words an image.
template <typename F>
void ForChunks(const StepContext& s, std::uint32_t height, std::uint32_t width, F&& f) {
  const std::uint32_t images = std::max(1u, kBank / (height * width));
  const std::uint32_t rows = std::min(height, kBank / width);
  for (std::uint32_t n = 0; n < s.batch; n += images) {
    for (std::uint32_t y = 0; y < height; y += rows) {
      f(n, std::min(images, s.batch - n), y, std::min(rows, height - y));
    }
  }
}

// All taps on chip: [channels][taps][units].
Tensor LoadTaps(StepContext& s, const Layer& layer) {
  const Geometry& g = layer.geometry;
  const Tensor w = s.flow.Sbuf(layer.name + " taps", s.mode.compute, {g.channels, g.taps(), g.out_channels});
  s.flow.Load(w, layer.weights.Read().Split(0, g.channels).Transpose(0, 1));
  return w;
}

// Every output adds its gradient, through each tap, to the pixel that it saw there: products that
// accumulate onto the picture in PSUM, which begins as zeros.
void InputGradient(StepContext& s, const Layer& layer, const Tensor& dy, const Layer& previous, Value& input,
                   Value& below) {
  const Geometry& g = layer.geometry;
  if (g.height * g.width > kBank) {
    throw TrainError(layer.name + ": gradients of " + std::to_string(g.height) + " x " + std::to_string(g.width) +
                     " pixels, a PSUM bank holds " + std::to_string(kBank));
  }
  below = {previous.name + " output gradient", layer.inputs, s.mode.gradients};
  below.picture = {g.channels, g.height, g.width};
  below.c = s.flow.Sbuf(below.name, below.dtype, {g.channels, s.batch, g.height, g.width});
  const Tensor w = LoadTaps(s, layer);
  const Dtype exact = s.mode.weight_scale == 1 ? s.mode.compute : Dtype::kBf16;
  const Tensor turned = s.flow.Sbuf(layer.name + " transposed taps", exact, {g.out_channels, g.taps(), g.channels});
  const Tensor sums =
      s.flow.Psum(layer.name + " transposed", g.out_channels, g.taps() * g.channels).Split(1, g.channels);
  for (std::uint32_t tap = 0; tap < g.taps(); ++tap) {
    s.flow.Product(Pick(sums, 1, tap), Pick(w, 1, tap), s.identity.Slice(0, 0, g.channels).Slice(1, 0, g.channels),
                   false);
  }
  s.flow.Act(ActFunc::kIdentity, turned, sums, 1 / s.mode.weight_scale);
  s.flow.Free(w);
  ForChunks(s, g.height, g.width, [&](std::uint32_t n, std::uint32_t images, std::uint32_t, std::uint32_t) {
    const Tensor bank = s.flow.Psum(below.name, g.channels, images * g.height * g.width);
    s.flow.Elementwise(VecFunc::kMul, bank, Generated::Iota(0, {0}), 0.0f);
    const Tensor picture = bank.Split(1, g.height * g.width).Split(2, g.width);
    for (std::uint32_t tap = 0; tap < g.taps(); ++tap) {
      s.Product(Seen(g, picture, tap, 0, images, 0, g.out_height), Pick(turned, 1, tap), dy.Slice(1, n, images), true);
    }
    const auto part = [&](const Tensor& t) { return t.Slice(1, n, images); };
    BackThroughActivation(s, previous.activation, part(*below.c),
                          previous.activation == Activation::kNone ? Tensor{} : part(*input.SlopeInput().c), picture);
  });
  s.flow.Free(turned);
}

// Sums over all positions, so positions have to lie on partitions: pieces of rows of the output, and of
// the picture as each tap sees it, are transposed in groups.
void WeightGradient(StepContext& s, const Layer& layer, const Tensor& dy, const Tensor& x) {
  const Geometry& g = layer.geometry;
  const std::uint32_t group = std::min(s.batch * g.out_height, kBank / std::max(g.channels, g.out_channels));
  Ring gradients(s.flow, "gradient transposed", s.mode.gradients, group * g.out_channels, 2);
  Ring pictures(s.flow, "picture transposed", s.mode.compute, group * g.channels, 3);
  const Tensor bank = s.flow.Psum(layer.name + " weight gradient", g.channels, g.taps() * g.out_channels, true);
  const Tensor sums = bank.Split(1, g.out_channels);
  bool first = true;
  ForTiles(g.out_width, s.rows, 1, [&](std::uint32_t t, std::uint32_t, std::uint32_t length) {
    const std::uint32_t x0 = t * s.rows, total = s.batch * g.out_height;
    for (std::uint32_t i0 = 0; i0 < total; i0 += group) {
      const std::uint32_t count = std::min(group, total - i0);
      // Piece i: `length` positions of one row of one image, [channels][length].
      const auto turn = [&](Ring& ring, const char* name, std::uint32_t channels, auto&& piece) {
        const Tensor to = ring.Next({length, count, channels});
        const Tensor psum = s.flow.Psum(name, length, count * channels).Split(1, channels);
        for (std::uint32_t i = 0; i < count; ++i) {
          s.flow.Product(Pick(psum, 1, i), piece((i0 + i) / g.out_height, (i0 + i) % g.out_height),
                         s.identity.Slice(0, 0, channels).Slice(1, 0, channels), false);
        }
        s.flow.Move(to, psum);
        return to;
      };
      const Tensor dyt = turn(gradients, "gradient transposed", g.out_channels, [&](std::uint32_t n, std::uint32_t y) {
        return Pick(Pick(dy, 1, n), 1, y).Slice(1, x0, length);
      });
      for (std::uint32_t tap = 0; tap < g.taps(); ++tap) {
        const Tensor xt = turn(pictures, "picture transposed", g.channels, [&](std::uint32_t n, std::uint32_t y) {
          return Pick(Pick(Seen(g, x, tap, n, 1, y, 1), 1, 0), 1, 0).Slice(1, x0, length);
        });
        for (std::uint32_t i = 0; i < count; ++i) {
          s.Product(Pick(sums, 1, tap), Pick(xt, 1, i), Pick(dyt, 1, i), !first || i > 0);
        }
      }
      first = false;
    }
  });
  gradients.Free(s.flow);
  pictures.Free(s.flow);
  ParameterUpdate update(s, layer.weights, g.taps() * g.out_channels);
  update.Part([&g](const Tensor& t) { return t.Split(0, g.channels).Transpose(0, 1); }, sums);
  update.Close();
  s.flow.Release(bank);
}

}  // namespace

void ConvolutionForward(StepContext& s, const Layer& layer, Value& in, Value& out) {
  const Geometry& g = layer.geometry;
  const Tensor& x = s.C(in);
  out = NewOutput(s, layer, &Value::c, {g.out_channels, s.batch, g.out_height, g.out_width});
  out.picture = {g.out_channels, g.out_height, g.out_width};
  for (Value& z : out.z) z.picture = out.picture;
  const Tensor w = LoadTaps(s, layer);
  std::optional<Tensor> bias;
  if (layer.bias) {
    bias = s.flow.Sbuf(layer.name + " bias", layer.bias->value.dtype, {g.out_channels, 1});
    s.flow.Load(*bias, layer.bias->value.Slice(0, 0, g.out_channels));
  }
  ForChunks(s, g.out_height, g.out_width,
            [&](std::uint32_t n, std::uint32_t images, std::uint32_t y, std::uint32_t rows) {
              const Tensor sums = s.flow.Psum(layer.name + " sums", g.out_channels, images * rows * g.out_width)
                                      .Split(1, rows * g.out_width)
                                      .Split(2, g.out_width);
              for (std::uint32_t tap = 0; tap < g.taps(); ++tap) {
                s.Product(sums, Pick(w, 1, tap), Seen(g, x, tap, n, images, y, rows), tap > 0);
              }
              const auto part = [&](const Tensor& t) { return t.Slice(1, n, images).Slice(2, y, rows); };
              std::optional<Tensor> z, b;
              if (!out.z.empty()) z = part(*out.z[0].c);
              if (bias) b = bias->Insert(2).Insert(3);
              ThroughActivation(s, layer.activation, part(*out.c), z, sums, b);
            });
  if (bias) s.flow.Free(*bias);
  s.flow.Free(w);
}

void ConvolutionBackward(StepContext& s, const Layer& layer, Value& gradient, const Layer* previous, Value& input,
                         Value& below) {
  const Geometry& g = layer.geometry;
  gradient.picture = {g.out_channels, g.out_height, g.out_width};
  s.flow.Label(layer.name + " gradient as pictures");
  const Tensor dy = s.C(gradient);
  s.DropB(gradient);
  s.DropF(gradient);
  if (previous) {
    s.flow.Label(layer.name + " input gradient");
    InputGradient(s, layer, dy, *previous, input, below);
  }
  s.flow.Label(layer.name + " weight gradient");
  WeightGradient(s, layer, dy, *input.c);
  if (layer.bias) {
    s.flow.Label(layer.name + " bias gradient");
    ParameterUpdate update(s, *layer.bias, 1);
    const Tensor sums = s.flow.Sbuf(layer.bias->name + " gradient", Dtype::kFp32, {g.out_channels, 1});
    s.flow.Reduce(isa::RedFunc::kSum, sums, dy, 3);
    update.Part([&g](const Tensor& t) { return t.Slice(0, 0, g.out_channels); }, sums);
    update.Close();
    s.flow.Free(sums);
  }
}

}  // namespace dither::train
