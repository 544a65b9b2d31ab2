#include "runtime/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "kernels/dispatch.h"

namespace lamina::runtime {

namespace {

size_t bytes_of(const Sizes& sizes, DType type) { return static_cast<size_t>(count(sizes)) * size_of(type); }

constexpr size_t kPieceBytes = 16384;  // of a batch that each thread gathers at least: rows in any order come from far

// As gather_rows(), by all threads.
void gather_batch(char* to, DType type, const Rows& rows, const int64_t* order, int64_t first, int64_t count) {
  Sizes row = rows.sizes;
  row[0] = 1;
  const size_t bytes = bytes_of(row, type);
  const int threads = num_threads();
  const int64_t many = static_cast<int64_t>(static_cast<size_t>(count) * bytes / kPieceBytes);
  const int64_t pieces = threads > 1 ? std::clamp<int64_t>(many, 1, std::max<int64_t>(count, 1)) : 1;
  parallel_for(pieces, threads, [&](ptrdiff_t begin, ptrdiff_t end, int) {
    const int64_t a = begin * count / pieces, b = end * count / pieces;
    gather_rows(to + static_cast<size_t>(a) * bytes, type, rows, order ? order + a : nullptr, first + a, b - a);
  });
}

}  // namespace

int64_t batches_of(const Epoch& epoch) { return epoch.rows == 0 ? 0 : (epoch.rows - 1) / epoch.batch_size + 1; }

int64_t run_epoch(Program& program, const Epoch& epoch) {
  const size_t inputs = program.input_count(), outputs = program.output_count();
  std::vector<AlignedBuffer> batch(inputs), spare(outputs);
  std::vector<const void*> in(inputs);
  std::vector<void*> out(outputs);
  std::vector<char*> collected(outputs, nullptr);
  std::vector<size_t> row_bytes(outputs, 0);
  for (size_t k = 0; k < epoch.collect.size(); ++k) {
    collected[k] = static_cast<char*>(epoch.collect[k].data);
    row_bytes[k] = epoch.collect[k].row_bytes;
  }

  using Clock = std::chrono::steady_clock;
  auto last_poll = Clock::now();
  const int64_t batches = batches_of(epoch);
  int64_t bound_rows = -1;
  double* scalar = epoch.scalars;
  Program::Options options;
  options.guarded = epoch.guarded;
  std::optional<Turn> turn(program.turns());
  for (int64_t b = 0; b < batches; ++b) {
    const int64_t first = b * epoch.batch_size, rows = std::min(epoch.batch_size, epoch.rows - first);
    if (turn->pass()) bound_rows = -1;  // others may have run it on other sizes
    if (rows != bound_rows) {
      std::vector<Sizes> sizes;
      for (size_t i = 0; i < inputs; ++i) {
        sizes.push_back(epoch.sources[i].sizes);
        sizes.back()[0] = rows;
      }
      program.bind(sizes);
      for (size_t i = 0; i < inputs; ++i)
        batch[i].grow(bytes_of(sizes[i], program.input_type(i).dtype), [&] { return program.describe_input(i); });
      for (size_t k = 0; k < outputs; ++k) {
        const Sizes& made = program.output_sizes(k);
        if (collected[k] &&
            (made[0] != rows || bytes_of(made, program.output_dtype(k)) != static_cast<size_t>(rows) * row_bytes[k]))
          fail("[fit] metrics expect outputs with one row for each sample, got ", Shape(made.begin(), made.end()), " for ", rows,
               " samples; use outputs whose first axis is the batch");
        spare[k].grow(std::max<size_t>(8, bytes_of(program.output_sizes(k), program.output_dtype(k))),
                      [&] { return program.describe_output(k); });
      }
      bound_rows = rows;
    }
    for (size_t i = 0; i < inputs; ++i) {
      const DType type = program.input_type(i).dtype;
      in[i] = epoch.order ? nullptr : epoch.sources[i].in_place(type, first);
      if (in[i] != nullptr) continue;
      gather_batch(batch[i].data(), type, epoch.sources[i], epoch.order ? epoch.order + first : nullptr, first, rows);
      in[i] = batch[i].data();
    }
    for (size_t k = 0; k < outputs; ++k) out[k] = collected[k] ? collected[k] : spare[k].data();
    if (epoch.rate != nullptr) *reinterpret_cast<double*>(epoch.rate->data()) = epoch.rates[b];
    program.run(in.data(), out.data(), options);
    const double* loss = scalar;
    for (size_t k = 0; k < outputs; ++k) {
      const Sizes& sizes = program.output_sizes(k);
      if (sizes.empty()) *scalar++ = read_scalar(out[k], program.output_dtype(k));
      if (collected[k]) collected[k] += bytes_of(sizes, program.output_dtype(k));
    }
    const bool bad = epoch.guarded && !std::isfinite(*loss), last = bad || b + 1 == batches;
    const bool due = last || std::chrono::duration<double>(Clock::now() - last_poll).count() >= epoch.poll_seconds;
    if (due && epoch.poll) {
      turn.reset();
      const bool stop = epoch.poll(b + 1);
      turn.emplace(program.turns());
      bound_rows = -1;
      if (stop) return b + 1;
      last_poll = Clock::now();
    }
    if (bad) return b + 1;
  }
  return batches;
}

// Fisher-Yates from the last to the first: place floor(u n) of the first n, u of 53 bits; even to one part in 2^53 / n.
void permutation(int64_t* order, int64_t n, uint64_t seed, uint64_t epoch) {
  constexpr uint64_t kOrders = uint64_t{1} << 63;  // streams apart from those of random_uniform
  constexpr int64_t kDraws = 512;                  // at a time: 4 KB
  const auto uniform = kernels::table().uniform[kernels::kF64];
  alignas(64) double draws[kDraws];
  for (int64_t i = 0; i < n; ++i) order[i] = i;
  for (int64_t last = n - 1; last > 0;) {
    const int64_t count = std::min(kDraws, last);
    uniform(draws, count, seed, kOrders | epoch, static_cast<uint64_t>(n - 1 - last));
    for (int64_t k = 0; k < count; ++k, --last) {
      const auto place = static_cast<int64_t>(draws[k] * static_cast<double>(last + 1));
      std::swap(order[last], order[std::min(place, last)]);  // the product may be rounded up to last + 1
    }
  }
}

}  // namespace lamina::runtime
