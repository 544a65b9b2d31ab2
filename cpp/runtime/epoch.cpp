#include "runtime/epoch.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "kernels/dispatch.h"

namespace lamina::runtime {

namespace {

constexpr size_t kPieceBytes = 16384;  // of a batch that each thread gathers at least: rows in any order come from far

// As gather_rows(), by all threads.
void gather_batch(char* to, DType type, const Rows& rows, const Which& which, int64_t count) {
  Sizes row = rows.sizes;
  row[0] = 1;
  const size_t bytes = bytes_of(row, type);
  const int threads = num_threads();
  const int64_t many = static_cast<int64_t>(static_cast<size_t>(count) * bytes / kPieceBytes);
  const int64_t pieces = threads > 1 ? std::clamp<int64_t>(many, 1, std::max<int64_t>(count, 1)) : 1;
  parallel_for(pieces, threads, [&](ptrdiff_t begin, ptrdiff_t end, int) {
    const int64_t a = begin * count / pieces, b = end * count / pieces;
    Which part = which;
    part.first += a;
    if (part.order) part.order += a;
    part.known = pieces > 1 ? b - a : which.known;  // the rest may be another thread's
    gather_rows(to + static_cast<size_t>(a) * bytes, type, rows, part, b - a);
  });
}

// The program on one batch after the other, and the memory for that.
class Batches {
 public:
  Batches(Program& program, const Epoch& epoch)
      : given_(program),
        epoch_(epoch),
        gathered_(program.input_count()),
        spare_(program.output_count()),
        in_(program.input_count()),
        out_(program.output_count()),
        collected_(program.output_count(), nullptr),
        row_bytes_(program.output_count(), 0),
        scalar_(epoch.scalars) {
    for (size_t k = 0; k < epoch.collect.size(); ++k) {
      collected_[k] = static_cast<char*>(epoch.collect[k].data);
      row_bytes_[k] = epoch.collect[k].row_bytes;
    }
    options_.guarded = epoch.guarded;
  }

  // Others may have run the program on other sizes.
  void forget_sizes() { bound_rows_ = -1; }

  // Leaves scalars and outputs of batch b where the epoch wants them; false where the guard ended it. The caller has the turn.
  bool run(int64_t b) {
    const int64_t first = b * epoch_.batch_size, rows = std::min(epoch_.batch_size, epoch_.rows - first);
    if (rows != bound_rows_) bind(rows);
    for (size_t i = 0; i < in_.size(); ++i) in_[i] = rows_of(i, first, rows);
    for (size_t k = 0; k < out_.size(); ++k) out_[k] = collected_[k] ? collected_[k] : spare_[k].data();
    if (epoch_.rate != nullptr) *reinterpret_cast<double*>(epoch_.rate->data()) = epoch_.rates[b];
    program_->run(in_.data(), out_.data(), options_);
    const double* loss = scalar_;
    for (size_t k = 0; k < out_.size(); ++k) {
      const Sizes& sizes = program_->output_sizes(k);
      if (sizes.empty()) *scalar_++ = read_scalar(out_[k], program_->output_dtype(k));
      if (collected_[k]) collected_[k] += bytes_of(sizes, program_->output_dtype(k));
    }
    return !epoch_.guarded || std::isfinite(*loss);
  }

 private:
  void bind(int64_t rows) {
    std::vector<Sizes> sizes;
    for (const Rows& source : epoch_.sources) {
      sizes.push_back(source.sizes);
      sizes.back()[0] = rows;
    }
    program_ = &given_.bound(sizes);
    for (size_t i = 0; i < in_.size(); ++i)
      gathered_[i].grow(bytes_of(sizes[i], program_->input_type(i).dtype), [&] { return program_->describe_input(i); });
    for (size_t k = 0; k < out_.size(); ++k) {
      const Sizes& made = program_->output_sizes(k);
      const size_t bytes = bytes_of(made, program_->output_dtype(k));
      if (collected_[k] && bytes != static_cast<size_t>(rows) * row_bytes_[k])
        fail("[fit] metrics expect outputs with one row for each sample, got ", known(made), " for ", rows,
             " samples; use outputs whose first axis is the batch");
      spare_[k].grow(std::max<size_t>(8, bytes), [&] { return program_->describe_output(k); });
    }
    bound_rows_ = rows;
  }

  // The batch's rows of input i: where they lie, or gathered.
  const void* rows_of(size_t i, int64_t first, int64_t rows) {
    const DType type = program_->input_type(i).dtype;
    const void* there = epoch_.order ? nullptr : epoch_.sources[i].in_place(type, first);
    if (there != nullptr) return there;
    const Which which{epoch_.order ? epoch_.order + first : nullptr, epoch_.rows - first, first};
    gather_batch(gathered_[i].data(), type, epoch_.sources[i], which, rows);
    return gathered_[i].data();
  }

  Program& given_;
  Program* program_ = &given_;  // as bound
  const Epoch& epoch_;
  std::vector<AlignedBuffer> gathered_, spare_;
  std::vector<const void*> in_;
  std::vector<void*> out_;
  std::vector<char*> collected_;  // where the next batch's rows of an output go
  std::vector<size_t> row_bytes_;
  double* scalar_;
  RunOptions options_;
  int64_t bound_rows_ = -1;
};

}  // namespace

int64_t batches_of(const Epoch& epoch) { return epoch.rows == 0 ? 0 : (epoch.rows - 1) / epoch.batch_size + 1; }

int64_t run_epoch(Program& program, const Epoch& epoch) {
  using Clock = std::chrono::steady_clock;
  auto last_poll = Clock::now();
  const int64_t batches = batches_of(epoch);
  Batches batch(program, epoch);
  std::optional<Turn> turn(program.turns());
  program.check_idle();
  for (int64_t b = 0; b < batches; ++b) {
    if (turn->pass()) batch.forget_sizes();
    const bool good = batch.run(b), last = !good || b + 1 == batches;
    const bool due = last || std::chrono::duration<double>(Clock::now() - last_poll).count() >= epoch.poll_seconds;
    if (due && epoch.poll) {
      turn.reset();
      const bool stop = epoch.poll(b + 1);
      turn.emplace(program.turns());
      program.check_idle();
      batch.forget_sizes();
      if (stop) return b + 1;
      last_poll = Clock::now();
    }
    if (!good) return b + 1;
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
