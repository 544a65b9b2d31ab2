// C = A B, or start + A B with one row for all, in blocks of C: each block is one unit, multiplied over all of k and then finished by
// the epilogue while it is in cache.
//
// Blocks are cut for the threads there are, and every element of C is summed in an order that the graph alone decides, as a rule in one
// chain of multiply-adds over ascending k: the result depends neither on the number of threads nor on the other rows.
//
// Two threads relay a product with weights that are trained: one multiplies the first half of k, block by block, the other one goes on
// with its sums. An update behind a product is cut by rows, so each thread keeps a half of the weights to itself: a line that both have
// read has to leave the other's cache before it can be written, some 6 ns each, as long as half of the product of a small batch.
//
// Sums over a batch may be those of groups of its rows (multiply.h). On one thread they are added to C one after the other; threads
// gather them first, beside the steps that make the rows (batch_sums.h), and the rest of the step adds them up.
#include <algorithm>
#include <cstring>
#include <memory>

#include "runtime/batch_sums.h"
#include "runtime/cluster.h"
#include "runtime/handover.h"
#include "runtime/steps.h"

namespace lamina::runtime {

namespace {

constexpr int64_t kBlockCols = 1024;  // columns of C in one block,
constexpr int64_t kRowCols = 4096;    // and where it has one row: B is read once, and memory likes long rows
constexpr int64_t kTallRows = 2048;   // rows of a block that no epilogue waits for: B is packed once for all of them (3 to 10 %)
constexpr int64_t kHalves = 4;        // times as many blocks of a symmetric product, most of which have half the work, or none
constexpr int64_t kMirrored = 32;     // rows and columns that are mirrored at once
constexpr int64_t kAddedUp = 2048;    // elements of the sums of groups that are added up at once, so that they stay in L1

// When a product is relayed. Bytes of B: fewer are soon read again, more do not stay in a cache until they are updated. k is at least so
// many times the rows of C, whose sums are passed on. And about how many blocks C is cut into: the second thread waits for the first one.
constexpr double kLeastRelayed = 64e3, kMostRelayed = 512e3;
constexpr int64_t kLongRelay = 6;
constexpr int64_t kRelayBlocks = 16;

// Whether there are as many rows in any batch.
bool has_fixed_rows(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end() - 1, [](const Dim& size) { return size.constant(); });
}

class GemmStep final : public Step, public RowWise {
 public:
  GemmStep(const graph::Node* value, const Product& product, Cluster epilogue, bool stores_product, const kernels::Table& kernels)
      : value_(value),
        product_(product),
        stores_product_(stores_product),
        is_gram_(is_gram(product.matmul)),
        has_fixed_rows_(has_fixed_rows(value->shape())),
        precision_(value->dtype() == DType::float64 ? kernels::kF64 : kernels::kF32),
        element_(static_cast<int64_t>(size_of(value->dtype()))),
        kernel_(kernels.gemm[precision_]),
        multiplication_(kernel_, element_),
        sums_over_batch_(multiplication_, memory_of_factors(product)) {
    name = "matmul";
    nodes = {product.matmul};
    inputs = {product.matmul->inputs[0].get(), product.matmul->inputs[1].get()};
    if (product.start != nullptr) {
      name += "+add";
      nodes.push_back(value);
      inputs.push_back(product.start);
    }
    if (stores_product) outputs.push_back(value);
    if (epilogue.nodes.empty()) return;
    for (const graph::Node* node : epilogue.nodes) {
      name += "+" + node->op->name;
      nodes.push_back(node);
    }
    changes = written_by(epilogue.nodes);
    for (const graph::Node* node : epilogue.stored)
      if (node->op->kind != graph::Kind::effect) outputs.push_back(node);
    epilogue_ = std::make_unique<TileProgram>(std::move(epilogue), kernels);
    for (const graph::Node* node : epilogue_->external_inputs()) inputs.push_back(node);
  }

  void bind(const Binder& binder) override {
    const Sizes shape = binder.symbols.eval(value_->shape());
    Strided a = binder.locate(product_.matmul->inputs[0].get()), b = binder.locate(product_.matmul->inputs[1].get());
    m_ = shape[shape.size() - 2];
    n_ = shape[shape.size() - 1];
    k_ = a.sizes.back();
    const Sizes stack(shape.begin(), shape.end() - 2);
    a = over_stack(a, stack);
    b = over_stack(b, stack);
    if (stores_product_) {
      c_ = binder.locate(value_);
      c_row_ = n_;
    }
    if (product_.start != nullptr) start_ = binder.locate(product_.start);
    bind_stack(binder, stack, a, b);
    lanes_ = binder.kernels.vector_bytes / element_;
    const bool over_batch = is_over_batch() && stacks_ == 1;
    multiplication_.bind({m_, n_, k_, a_row_, a_col_, b_row_, b_col_, has_fixed_rows_, over_batch}, lanes_);
    if (in_groups())
      sums_over_batch_.bind({a_buffer_, a_at_[0], a_col_, m_}, {b_buffer_, b_at_[0], b_row_, n_}, k_, binder, precision_);
    const double matrices = static_cast<double>(stacks_);
    symmetric_ = is_gram_ && n_ >= lanes_;
    const double elements = symmetric_ ? 0.5 * static_cast<double>(n_ * (n_ + 1)) : static_cast<double>(m_ * n_);
    flops_ = 2.0 * elements * static_cast<double>(k_) * matrices;
    work_ = flops_ + (epilogue_ ? epilogue_->work() : 0);
    bytes_ = static_cast<double>((m_ * k_ + k_ * n_ + (stores_product_ ? m_ * n_ : 0)) * element_) * matrices +
             (epilogue_ ? epilogue_->traffic() : 0);
    if (in_groups()) work_ += sums_over_batch_.passed_on();
  }

  // As few blocks as there are threads to be served: each reads all of A's rows, or B's columns, and packs them. Columns are cut
  // first; rows where A is packed, where an update follows, which likes them long, or where each thread has many.
  void cut(int64_t parts, int threads) override {
    if (gathers()) return cut_rest(parts);
    const int64_t stacks = std::max<int64_t>(stacks_, 1), rows = std::max<int64_t>(m_, 1), cols = std::max<int64_t>(n_, 1);
    const int64_t nr = kernel_.nr, grain = std::max<int64_t>(this->grain(m_), kernel_.mr);
    relays_ = parts == 2 && threads == 2 && can_relay();
    if (relays_) {
      block_cols_ = std::min(cols, 2 * nr);
      block_rows_ = std::min(rows, round_up(ceil_div(rows, ceil_div(kRelayBlocks, ceil_div(cols, block_cols_))), grain));
      return place_blocks();
    }
    const bool turns = b_col_ != 1;  // the columns of B that a block needs; more blocks of rows would turn them once more
    const int64_t narrowest = turns ? nr : 2 * nr, step = turns ? lanes_ : nr;
    const int64_t most_rows = ceil_div(rows, grain), most_cols = whole_rows() ? 1 : std::max<int64_t>(cols / narrowest, 1);
    int64_t by_rows = ceil_div(rows, epilogue_ ? kernel_.rows : kTallRows);
    int64_t by_cols = whole_rows() ? 1 : ceil_div(cols, rows == 1 ? kRowCols : kBlockCols);
    const int64_t wanted = symmetric_ && parts > 1 ? kHalves * parts : parts;
    const auto more_rows = [&] { by_rows = std::clamp(ceil_div(wanted, stacks * by_cols), by_rows, std::max(by_rows, most_rows)); };
    const auto more_cols = [&] { by_cols = std::clamp(ceil_div(wanted, stacks * by_rows), by_cols, std::max(by_cols, most_cols)); };
    const bool tall = 2 * rows >= parts * kernel_.rows || kernel_.packs_a(multiplication_.factors(m_, n_, 1));
    if (epilogue_ ? epilogue_->has_rules() : tall) more_rows();
    more_cols();
    more_rows();
    if (parts > 1 && stacks * by_cols == 1) by_rows = std::min(round_up(by_rows, threads), std::max(by_rows, most_rows));
    block_rows_ = std::min(rows, round_up(ceil_div(rows, by_rows), this->grain(m_)));
    block_cols_ = whole_rows() ? cols : std::min(cols, round_up(ceil_div(cols, by_cols), step));
    place_blocks();
  }

  Gathering* gathering() override { return in_groups() ? &sums_over_batch_ : nullptr; }
  RowWise* row_wise() override { return in_groups() ? nullptr : this; }
  int64_t rows() const override { return stacks_ == 1 && !symmetric_ ? m_ : 0; }
  bool splits(int64_t rows) const override { return rows == this->rows(); }
  int64_t grain(int64_t) const override { return epilogue_ ? epilogue_->grain() : 1; }
  bool reads_rows(int buffer, int64_t rows, int64_t width) const override {
    if (b_buffer_ == buffer || start_.buffer == buffer || (epilogue_ && !epilogue_->reads_rows(buffer, rows, width))) return false;
    if (a_buffer_ != buffer) return true;
    return (rows <= 1 || a_row_ == width) && a_at_[0] >= 0 && a_col_ >= 0 && a_at_[0] + (k_ - 1) * a_col_ < width;
  }
  bool leaves_rows(int buffer) const override { return !epilogue_ || epilogue_->leaves_rows(buffer); }
  Shared shared() const override { return {k_, n_, k_ * n_ * element_}; }
  void cut_rows(int64_t, int64_t block) override {
    block_rows_ = std::min(block, std::max<int64_t>(m_, 1));
    const int64_t cols = std::max<int64_t>(n_, 1), strips = whole_rows() ? 1 : ceil_div(cols, kBlockCols);
    block_cols_ = std::min(cols, round_up(ceil_div(cols, strips), kernel_.nr));
    relays_ = false;
    place_blocks();
  }

  void run(const Run& run, int64_t first, int64_t last, int worker) const override {
    char* scratch = run.scratch[worker].data();
    for (int64_t unit = first; unit < last; ++unit)
      gathers() ? run_part(run, unit, scratch) : relays_ ? run_half(run, unit, scratch) : run_block(run, unit, scratch);
  }

  void finish(const Run& run) const override {
    if (epilogue_) epilogue_->finish(run);
    if (symmetric_) mirror(run);
  }

 private:
  static std::vector<const graph::Node*> memory_of_factors(const Product& product) {
    return {memory_of(product.matmul->inputs[0].get()), memory_of(product.matmul->inputs[1].get())};
  }

  // Whether k is a free size, as only a batch's is, and the product is none of those with an order of their own.
  bool is_over_batch() const {
    const Shape& b = product_.matmul->inputs[1]->shape();
    return !b[b.size() - 2].constant() && !is_gram_ && product_.start == nullptr;
  }

  bool in_groups() const { return multiplication_.groups() > 1; }
  bool gathers() const { return in_groups() && sums_over_batch_.is_cut(); }

  // A factor with the stack's axes in front: stride 0 where one matrix serves all.
  static Strided over_stack(const Strided& x, const Sizes& stack) {
    Sizes to = stack;
    to.push_back(x.sizes[x.sizes.size() - 2]);
    to.push_back(x.sizes.back());
    Strided out = x.broadcast(to);
    for (size_t i = 0; i < 2; ++i) out.strides[to.size() - 1 - i] = x.strides[x.strides.size() - 1 - i];
    return out;
  }

  // Where one B serves the whole stack and the rows of all A's are evenly spaced, the stack is one tall product.
  void bind_stack(const Binder& binder, const Sizes& stack, const Strided& a, const Strided& b) {
    const size_t rank = stack.size();
    Sizes sizes(a.sizes.begin(), a.sizes.end() - 1), rows(a.strides.begin(), a.strides.end() - 1);
    const bool shared = std::all_of(b.strides.begin(), b.strides.end() - 2, [](int64_t s) { return s == 0; });
    if (rank > 0 && shared) collapse(sizes, {&rows}, 0);
    bool tall = rank > 0 && shared && sizes.size() <= 1;
    if (epilogue_) {
      epilogue_->bind(binder, tall || rank == 0 ? 1 : 2);
      if (tall && epilogue_->outer() != 1) {
        tall = false;
        epilogue_->bind(binder, 2);
      }
    }
    a_row_ = a.strides[rank];
    a_col_ = a.strides[rank + 1];
    b_row_ = b.strides[rank];
    b_col_ = b.strides[rank + 1];
    stacks_ = tall ? 1 : count(stack);
    if (tall) {
      m_ *= count(stack);
      a_row_ = rows.empty() ? a_row_ : rows[0];
    }
    a_at_.clear();
    b_at_.clear();
    b_changes_ = binder.changes(product_.matmul->inputs[1].get());
    a_buffer_ = a.buffer;
    b_buffer_ = b.buffer;
    for (int64_t s = 0; s < stacks_; ++s) {
      int64_t rest = s, a_at = a.offset, b_at = b.offset;
      for (size_t axis = rank; !tall && axis-- > 0;) {
        a_at += rest % stack[axis] * a.strides[axis];
        b_at += rest % stack[axis] * b.strides[axis];
        rest /= stack[axis];
      }
      a_at_.push_back(a_at);
      b_at_.push_back(b_at);
    }
  }

  bool whole_rows() const { return epilogue_ && epilogue_->cluster().has_rows; }

  bool can_relay() const {
    const auto bytes = static_cast<double>(shared().bytes);
    return b_changes_ && multiplication_.is_in_panels() && stacks_ == 1 && !whole_rows() && b_col_ == 1 && bytes >= kLeastRelayed &&
           bytes <= kMostRelayed && m_ > 2 * kernel_.mr && k_ >= kLongRelay * m_;
  }

  void place_blocks() {
    // No last block with fewer columns than a vector has lanes: it would read all of A for them.
    while (block_cols_ < n_ && n_ % block_cols_ > 0 && n_ % block_cols_ < lanes_) block_cols_ += kernel_.nr;
    block_cols_ = std::min(block_cols_, std::max<int64_t>(n_, 1));
    row_blocks_ = ceil_div(m_, block_rows_);
    col_blocks_ = whole_rows() ? 1 : ceil_div(n_, block_cols_);  // a row without columns still has a sum
    units_ = stacks_ * row_blocks_ * col_blocks_;
    kernels::GemmArgs block = factors(block_rows_, block_cols_);
    if (relays_) {
      halves_.reset(units_);
      units_ = 2;
      block.k = k_ - k_ / 2;
      if (!stores_product_) sums_.grow(static_cast<size_t>(m_ * n_ * element_), [] { return "sums of a product"; });
    }
    const bool panels = multiplication_.is_in_panels();
    updates_by_outer_ = k_ == 1 && n_ >= lanes_ && b_col_ == 1 && !stores_product_ && product_.start == nullptr && !symmetric_ &&
                        epilogue_ && epilogue_->updates_by_outer();
    if (panels && epilogue_ && epilogue_->far_count() > 0 && !whole_rows() && !relays_) {
      block.finished = Parts::finished;
      block.far_count = epilogue_->far_count();
    }
    hands_out_ = block.finished != nullptr;
    in_parts_ = hands_out_ && !stores_product_ && k_ <= kernel_.piece && !in_groups();
    pack_bytes_ = align_up(static_cast<size_t>(multiplication_.room(block) * element_));
    start_bytes_ = has_dense_start() ? 0 : align_up(static_cast<size_t>(block_cols_ * element_));
    const int64_t kept = updates_by_outer_ ? 0 : in_parts_ ? kernel_.part(block) : block_rows_ * block_cols_;
    block_bytes_ = stores_product_ ? 0 : align_up(static_cast<size_t>(kept * element_));
    scratch_bytes_ = pack_bytes_ + start_bytes_ + block_bytes_ + (epilogue_ ? epilogue_->scratch_bytes() : 0);
  }

  // What runs behind the parts of a block.
  struct Parts {
    const GemmStep& step;
    const Run& run;
    const TileProgram::Block& block;
    char* scratch;

    static void finished(void* context, const kernels::GemmPart& part) {
      const Parts& p = *static_cast<const Parts*>(context);
      const TileProgram::Block& b = p.block;
      p.step.epilogue_->run_block(
          p.run,
          {b.outer, b.row0 + part.row0, b.row0 + part.row1, b.col0 + part.col0, b.col0 + part.col1, part.c, part.c_row, part.asked},
          p.scratch);
    }
  };

  void place(TileProgram::Block& block, int64_t index) const {
    block.outer = block.row0 = block.col0 = 0;
    if (index > 0) {  // most steps have one block, and the divisions are a third of what is done for it here
      block.outer = index / (row_blocks_ * col_blocks_);
      block.row0 = index / col_blocks_ % row_blocks_ * block_rows_;
      block.col0 = index % col_blocks_ * block_cols_;
    }
    block.row1 = std::min(block.row0 + block_rows_, m_);
    block.col1 = std::min(block.col0 + block_cols_, n_);
  }

  // The product of a block but for its C.
  kernels::GemmArgs product_at(const Run& run, const TileProgram::Block& block, char* scratch) const {
    const auto s = static_cast<size_t>(block.outer);
    kernels::GemmArgs args = factors(block.row1 - block.row0, block.col1 - block.col0);
    args.a = run.at(a_buffer_) + (a_at_[s] + block.row0 * a_row_) * element_;
    args.b = run.at(b_buffer_) + (b_at_[s] + block.col0 * b_col_) * element_;
    args.start = begin(run, block, scratch + pack_bytes_);
    args.room = scratch;
    return args;
  }

  void put(kernels::GemmArgs& args, const TileProgram::Block& block, char* c, int64_t row) const {
    args.c = c + ((block.outer * m_ + block.row0) * row + block.col0) * element_;
    args.c_row = row;
  }

  char* rest_of(char* scratch) const { return scratch + pack_bytes_ + start_bytes_ + block_bytes_; }

  void run_block(const Run& run, int64_t index, char* scratch) const {
    TileProgram::Block block;
    place(block, index);
    if (symmetric_ && block.col1 <= block.row0) return;
    kernels::GemmArgs args = product_at(run, block, scratch);
    if (updates_by_outer_) return epilogue_->update_by_outer(run, block, args.a, a_row_, args.b);
    args.c = scratch + pack_bytes_ + start_bytes_;
    args.c_row = args.n;
    if (symmetric_) args.diagonal = block.col0 - block.row0;
    if (stores_product_) put(args, block, run.at(c_.buffer), c_row_);
    if (hands_out_) return multiply_in_parts(args, {*this, run, block, rest_of(scratch)});
    multiplication_.run(args, scratch);
    if (epilogue_) run_epilogue(run, block, args, scratch);
  }

  void run_epilogue(const Run& run, TileProgram::Block& block, const kernels::GemmArgs& args, char* scratch) const {
    block.product = args.c;
    block.product_row = args.c_row;
    epilogue_->run_block(run, block, rest_of(scratch));
  }

  // Of a relay: the sums over a half of k, block by block; those of the second one begin with those of the first.
  void run_half(const Run& run, int64_t half, char* scratch) const {
    const int64_t middle = k_ / 2;
    for (int64_t i = 0; i < row_blocks_ * col_blocks_; ++i) {
      TileProgram::Block block;
      place(block, i);
      kernels::GemmArgs args = product_at(run, block, scratch);
      stores_product_ ? put(args, block, run.at(c_.buffer), c_row_) : put(args, block, sums_.data(), n_);
      args.k = half == 0 ? middle : k_ - middle;
      if (half == 0) {
        kernel_.block(args);
        halves_.give(i);
        continue;
      }
      args.a = static_cast<const char*>(args.a) + middle * a_col_ * element_;
      args.b = static_cast<const char*>(args.b) + middle * b_row_ * element_;
      args.start = args.c;
      args.start_row = args.c_row;
      halves_.take(i);
      kernel_.block(args);
      if (epilogue_) run_epilogue(run, block, args, scratch);
    }
  }

  bool has_dense_start() const { return product_.start == nullptr || start_.strides.back() == 1 || n_ == 1; }

  // The part of the row that the sums of a block begin with, side by side. (Where the step updates the row's own variable, from a C of
  // one row, each block has read its part before.)
  const void* begin(const Run& run, const TileProgram::Block& block, char* scratch) const {
    if (product_.start == nullptr) return nullptr;
    const int64_t step = start_.strides.back();
    const char* from = run.at(start_.buffer) + (start_.offset + block.col0 * step) * element_;
    if (has_dense_start()) return from;
    kernel_.transpose(scratch, 1, from, step, block.col1 - block.col0, 1);
    return scratch;
  }

  kernels::GemmArgs factors(int64_t rows, int64_t cols) const { return multiplication_.factors(rows, cols, grain(m_)); }

  void multiply_in_parts(kernels::GemmArgs& args, Parts parts) const {
    const TileProgram::Block& block = parts.block;
    args.finished = Parts::finished;
    args.context = &parts;
    args.in_parts = in_parts_;
    kernels::GemmArgs::Far far[kernels::kMaxFar];
    args.far = far;
    args.far_count = epilogue_->find_far(parts.run, block, far);
    multiplication_.run_panels(args);
  }

  // Where the groups' sums are gathered first: they are added up and finished, some rows of C at a time.
  void cut_rest(int64_t parts) {
    block_rows_ = std::min(m_, round_up(ceil_div(m_, parts), grain(m_)));
    units_ = sums_over_batch_.units() + ceil_div(m_, block_rows_);
    added_rows_ = std::min(round_up(std::max<int64_t>(kAddedUp / n_, 1), grain(m_)), block_rows_);
    pack_bytes_ = align_up(static_cast<size_t>(sums_over_batch_.scratch_elements() * element_));
    start_bytes_ = 0;
    block_bytes_ = stores_product_ ? 0 : align_up(static_cast<size_t>(added_rows_ * n_ * element_));
    scratch_bytes_ = std::max(pack_bytes_, block_bytes_ + (epilogue_ ? epilogue_->scratch_bytes() : 0));
  }

  void run_part(const Run& run, int64_t unit, char* scratch) const {
    if (unit < sums_over_batch_.units()) return sums_over_batch_.gather(run, unit, scratch);
    const int64_t first = (unit - sums_over_batch_.units()) * block_rows_, last = std::min(first + block_rows_, m_);
    for (int64_t row = first; row < last; row += added_rows_) {
      const int64_t end = std::min(row + added_rows_, last);
      char* c = stores_product_ ? run.at(c_.buffer) + row * n_ * element_ : scratch;
      sums_over_batch_.add_up(c, row, end);
      if (epilogue_) epilogue_->run_block(run, {0, row, end, 0, n_, c, n_}, scratch + block_bytes_);
    }
  }

  // What lies below the diagonal, from above it.
  void mirror(const Run& run) const {
    for (int64_t s = 0; s < stacks_; ++s) {
      char* c = run.at(c_.buffer) + s * n_ * n_ * element_;
      const auto at = [&](int64_t i, int64_t j) { return c + (i * n_ + j) * element_; };
      for (int64_t i = 0; i < n_; i += kMirrored) {
        const int64_t rows = std::min(kMirrored, n_ - i);
        for (int64_t j = i + rows; j < n_; j += kMirrored)
          kernel_.transpose(at(j, i), n_, at(i, j), n_, rows, std::min(kMirrored, n_ - j));
        for (int64_t r = i; r < i + rows; ++r)
          for (int64_t k = r + 1; k < i + rows; ++k) std::memcpy(at(k, r), at(r, k), static_cast<size_t>(element_));
      }
    }
  }

  const graph::Node* value_;
  const Product product_;
  const bool stores_product_;
  const bool is_gram_;
  const bool has_fixed_rows_;
  const int precision_;
  const int64_t element_;
  const kernels::GemmKernel kernel_;
  Multiplication multiplication_;
  BatchSums sums_over_batch_;
  std::unique_ptr<TileProgram> epilogue_;

  int64_t m_ = 0, n_ = 0, k_ = 0, stacks_ = 1, lanes_ = 1;
  int64_t a_row_ = 0, a_col_ = 0, b_row_ = 0, b_col_ = 0, c_row_ = 0;
  int a_buffer_ = -1, b_buffer_ = -1;
  std::vector<int64_t> a_at_, b_at_;  // first element of each matrix of the stack
  Strided c_, start_;
  int64_t block_rows_ = 1, block_cols_ = 1, row_blocks_ = 1, col_blocks_ = 1;
  bool hands_out_ = false;         // the epilogue runs behind parts of a block, strip by strip where it has some,
  bool in_parts_ = false;          // and of C there is one part at a time
  bool updates_by_outer_ = false;  // C is the gradient of one sample, and only its update wants it
  bool symmetric_ = false;         // A = B^T: only what is on and above the diagonal is multiplied
  bool b_changes_ = false;         // the program trains B
  int64_t added_rows_ = 1;         // at once, of the sums over groups
  bool relays_ = false;            // its two units are the halves of k
  AlignedBuffer sums_;             // C between them, where it is not stored
  Handover halves_;                // of each block: the sums over its first half
  size_t pack_bytes_ = 0, start_bytes_ = 0, block_bytes_ = 0;
};

}  // namespace

StepPtr make_gemm_step(const graph::Node* value, const Product& product, Cluster epilogue, bool stores_product,
                       const kernels::Table& kernels) {
  return std::make_unique<GemmStep>(value, product, std::move(epilogue), stores_product, kernels);
}

}  // namespace lamina::runtime
