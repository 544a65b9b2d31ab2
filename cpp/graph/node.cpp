#include "graph/node.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <unordered_set>

namespace lamina::graph {

void Attrs::set(const std::string& key, Attr value) {
  for (auto& item : items_)
    if (item.first == key) {
      item.second = std::move(value);
      return;
    }
  items_.emplace_back(key, std::move(value));
}

const Attr* Attrs::find(const std::string& key) const {
  for (const auto& item : items_)
    if (item.first == key) return &item.second;
  return nullptr;
}

const Attr* empty_attr(const std::string& op, const std::string& key) {
  using Numbers = std::vector<double>;
  using Integers = std::vector<int64_t>;
  static const auto* types = new std::unordered_map<std::string, Attr>{
      {"shape", Shape()},       {"size", Shape()},
      {"start", Shape()},       {"stop", Shape()},
      {"low", Shape()},         {"high", Shape()},
      {"axes", Integers()},     {"step", Integers()},
      {"interior", Integers()}, {"axis", int64_t()},
      {"classes", int64_t()},   {"stream", int64_t()},
      {"keepdims", false},      {"from_end", false},
      {"dtype", DType()},       {"params", Numbers()},
      {"hyper", Numbers()},     {"value", 0.0},
      {"rule", std::string()},  {"name", std::string()},
      {"of", std::string()},    {"rcond", 0.0},
      {"lower", false},         {"transposed", false},
      {"unit_diagonal", false}, {"variable", std::shared_ptr<Variable>()},
  };
  static const auto* array = new Attr(std::shared_ptr<const Array>());
  if (op == "constant" && key == "value") return array;
  const auto found = types->find(key);
  return found == types->end() ? nullptr : &found->second;
}

// ---- The registry ----

void register_elementwise();
void register_activations();
void register_matmul();
void register_reductions();
void register_shape_ops();
void register_sources();
void register_host();

namespace {

std::unordered_map<std::string, Op>& registry() {
  static auto* ops = new std::unordered_map<std::string, Op>;  // never destroyed: a thread may still run while the process ends
  return *ops;
}

void fill_registry() {
  static const bool done = [] {
    register_sources();
    register_elementwise();
    register_activations();
    register_matmul();
    register_reductions();
    register_shape_ops();
    register_host();
    return true;
  }();
  (void)done;
}

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

void register_op(Op op) {
  const std::string name = op.name;
  check(registry().emplace(name, std::move(op)).second, "operation '", name, "' is defined twice");
}

const Op& find_op(const std::string& name) {
  fill_registry();
  const auto found = registry().find(name);
  if (found != registry().end()) return found->second;
  check(name.size() <= 64, "unknown operation '", name.substr(0, 64), "...'");
  std::string nearest;
  for (const auto& item : registry())
    if (nearest.empty() || edit_distance(name, item.first) < edit_distance(name, nearest)) nearest = item.first;
  fail("unknown operation '", name, "'; did you mean '", nearest, "'?");
}

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::source: return "source";
    case Kind::elementwise: return "elementwise";
    case Kind::row: return "row";
    case Kind::reduce: return "reduce";
    case Kind::view: return "view";
    case Kind::move: return "move";
    case Kind::matmul: return "matmul";
    case Kind::outer: return "outer";
    case Kind::random: return "random";
    case Kind::host: return "host";
    case Kind::mode: return "mode";
    case Kind::effect: return "effect";
  }
  return "";
}

std::vector<std::string> op_names() {
  fill_registry();
  std::vector<std::string> names;
  for (const auto& item : registry()) names.push_back(item.first);
  std::sort(names.begin(), names.end());
  return names;
}

// ---- Nodes ----

namespace {
std::atomic<uint64_t> serials{1};
thread_local ScopeRef current_scope;
}  // namespace

ScopeGuard::ScopeGuard(ScopeRef scope) : previous_(std::move(current_scope)) { current_scope = std::move(scope); }
ScopeGuard::~ScopeGuard() { current_scope = std::move(previous_); }

// A chain of a million nodes must not recurse a million destructors deep: inputs that die with this node are taken apart here.
Node::~Node() {
  Tensors pending = std::move(inputs);
  while (!pending.empty()) {
    const Tensor last = std::move(pending.back());
    pending.pop_back();
    if (last && last.use_count() == 1) {
      auto& dying = const_cast<Node&>(*last).inputs;
      std::move(dying.begin(), dying.end(), std::back_inserter(pending));
      dying.clear();
    }
  }
}

uint64_t next_serial() { return serials.load(std::memory_order_relaxed); }

std::ostream& operator<<(std::ostream& out, const Described& call) {
  out << "[" << call.op.name << "]";
  for (size_t i = 0; i < call.inputs.size(); ++i) out << (i ? ", " : " ") << call.inputs[i]->shape();
  return out;
}

Tensor make(const Op& op, Tensors inputs, Attrs attrs) {
  check(op.arity < 0 || inputs.size() == static_cast<size_t>(op.arity), "[", op.name, "] expected ", op.arity, " inputs, got ",
        inputs.size());
  for (const Tensor& input : inputs) check<TypeError>(input != nullptr, "[", op.name, "] an input is None");
  auto node = std::make_shared<Node>();
  node->type = op.infer(op, inputs, attrs);
  constexpr size_t kMostAxes = 64;  // as many as an array of NumPy's has
  check(node->shape().size() <= kMostAxes, "[", op.name, "] expected at most ", kMostAxes, " axes, got ", node->shape().size());
  for (const Dim& dim : node->shape())
    check(!dim.constant() || (dim.offset >= 0 && dim.offset < kMostSize), describe(op, inputs),
          ": expected sizes of 0 to 2^62, got ", node->shape());
  node->op = &op;
  node->inputs = std::move(inputs);
  node->attrs = std::move(attrs);
  node->scope = current_scope;
  node->serial = serials.fetch_add(1, std::memory_order_relaxed);
  return node;
}

Tensor make(const std::string& op, Tensors inputs, Attrs attrs) { return make(find_op(op), std::move(inputs), std::move(attrs)); }

const Node* memory_of(const Node* node) {
  while (node->op->kind == Kind::view) node = node->inputs[0].get();
  return node;
}

std::vector<const Node*> topological(const Tensors& roots) {
  std::vector<const Node*> order;
  std::unordered_set<const Node*> seen;
  std::vector<std::pair<const Node*, size_t>> stack;  // a node and the input to look at next
  for (const Tensor& root : roots) {
    if (!seen.insert(root.get()).second) continue;
    stack.emplace_back(root.get(), 0);
    while (!stack.empty()) {
      auto& [node, next] = stack.back();
      if (next == node->inputs.size()) {
        order.push_back(node);
        stack.pop_back();
        continue;
      }
      const Node* input = node->inputs[next++].get();
      if (seen.insert(input).second) stack.emplace_back(input, 0);
    }
  }
  return order;
}

}  // namespace lamina::graph
