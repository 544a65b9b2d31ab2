#include "runtime/cluster.h"

#include <algorithm>

#include "base/rule_layout.h"
#include "graph/reduce_form.h"
#include "runtime/node_sets.h"

namespace lamina::runtime {

using graph::Kind;
using graph::Node;
using graph::ReduceForm;

namespace {

// A program with more nodes than this would not keep its tiles in L1.
constexpr int kMaxNodes = 48;
// Elements of a row that one block of a matrix product holds whole (softmax behind the logits).
constexpr int64_t kMaxWholeRow = 128;

// Whether a node depends on constants and sizes alone: its step runs when the program is bound, not when it runs.
bool is_settled(const Node* node, const std::unordered_set<const Node*>& settled) {
  if (node->op->kind != Kind::elementwise && node->op->kind != Kind::view) return false;
  for (const auto& input : node->inputs) {
    const bool known =
        input->is("fill") || input->is("size") || input->is("constant") || input->is("iota") || settled.count(input.get());
    if (!known) return false;
  }
  return true;
}

// The type that a node's elements are calculated in.
DType compute_type(const Node& node) {
  DType type = DType::float32;
  const auto widen = [&](DType t) {
    if (t == DType::float64 || t == DType::int64) type = DType::float64;  // f64 holds integers up to 2^53
  };
  if (node.is("one_hot")) {  // of at most 2^24 classes: exact in f32 as well
    widen(node.dtype());
    return type;
  }
  if (!node.is("rule_update")) widen(node.dtype());
  for (size_t i = 0; i < node.inputs.size(); ++i)
    if (!(node.is("rule_update") && i == kConstants)) widen(node.inputs[i]->dtype());
  if (node.is("argmax") || node.is("argmin")) {  // whose places are numbers of the tile: f32 counts to 2^24
    const Dim& length = node.inputs[0]->shape().back();
    const bool few = length.constant() && length.offset <= int64_t{1} << 24;
    return node.inputs[0]->dtype() == DType::float32 && few ? DType::float32 : DType::float64;
  }
  return type;
}

// Registers that a node takes at most, beside those of its inputs.
int registers_of(const Node* node) {
  const bool in_parts = node->is("softmax") || node->is("log_softmax") || node->is("logsumexp");  // see emit_softmax_part
  return in_parts ? 6 : 1;
}

struct Info {
  bool member = false;  // can be part of a tile program
  Form form = Form::full;
  Shape domain;
  DType compute = DType::float32;
  // Nodes of one program have one level. Whoever takes a value from outside its program is one level higher, so that no path
  // leaves a program and comes back.
  int level = 0;
  size_t set = 0;  // of the nodes that are to be one program
};

Shape rows_dropped(const Shape& domain) { return Shape(domain.begin(), domain.end() - 1); }
Shape rows_kept(const Shape& domain) {
  Shape shape = domain;
  shape.back() = Dim(1);
  return shape;
}
bool is_row_shape(const Shape& shape, const Shape& domain) { return shape == rows_dropped(domain) || shape == rows_kept(domain); }

// What each node is in a tile program, and which nodes are to be one.
class Grouping {
 public:
  Grouping(const std::vector<const Node*>& order, const Products& products, const Users& users, const FusionOptions& options)
      : products_(products), users_(users), options_(options) {
    for (const Node* node : order) analyse(node);
    for (const Node* node : order) members_[set_of(node)].push_back(node);
    if (options_.elementwise)
      for (size_t k = order.size(); k-- > 0;) sink(order[k]);
  }

  const Info& info(const Node* node) const { return infos_.at(node); }
  size_t set_of(const Node* node) const { return sets_.find(infos_.at(node).set); }

 private:
  const Info* row_input(const Node* node) const {
    for (const auto& input : node->inputs)
      if (const Info& i = info(input.get()); i.member && i.form == Form::row && is_row_shape(node->shape(), i.domain)) return &i;
    return nullptr;
  }

  // Form and domain of a node that a tile program can hold.
  void classify(const Node* node, Info& n) {
    const Kind kind = node->op->kind;
    n.compute = compute_type(*node);
    if (products_.count(node) > 0) {
      n.domain = node->shape();
    } else if (kind == Kind::elementwise) {
      n.member = true;
      n.domain = node->shape();
      if (const Info* row = row_input(node); row != nullptr && node->op->name != "one_hot") {
        n.form = Form::row;
        n.domain = row->domain;
      }
    } else if (kind == Kind::row) {
      n.member = true;
      n.domain = node->inputs[0]->shape();
      n.form = node->shape() == n.domain ? Form::full : Form::row;
    } else if (kind == Kind::reduce) {
      classify_reduce(node, n);
    } else if (node->is("rule_update")) {
      n.member = true;
      n.domain = node->shape();
    } else if (node->is("reshape")) {
      const Info* row = row_input(node);
      n.member = row != nullptr && options_.elementwise && fits(node->inputs[0].get(), *row);
      if (!n.member) return;
      n.form = Form::row;
      n.domain = row->domain;
      n.compute = row->compute;
    }
  }

  void classify_reduce(const Node* node, Info& n) {
    const Node* x = node->inputs[0].get();
    const ReduceForm form = graph::reduce_form(*node);
    if (form == ReduceForm::middle) return;  // a step of its own
    const bool one_column = form == ReduceForm::but_last && x->shape().back() == Dim(1);
    n.member = true;
    n.domain = x->shape();
    n.form = form == ReduceForm::all || one_column ? Form::total : form == ReduceForm::last ? Form::row : Form::column_sum;
    const Info& i = info(x);
    if (n.form == Form::total && i.member && i.form == Form::row) n.domain = i.domain;
  }

  // Whether a value may stay in the tile instead of being rounded to its type in memory.
  static bool fits(const Node* producer, const Info& p) {
    const DType type = producer->dtype();
    return type == p.compute || type == DType::boolean || (type == DType::int64 && p.compute == DType::float64);
  }

  bool can_join(const Node* producer, const Info& p, const Node* user, const Info& u, size_t index) const {
    if (!options_.elementwise || !u.member || p.domain != u.domain || p.compute != u.compute) return false;
    if (p.form != Form::full && p.form != Form::row) return false;
    if (!fits(producer, p) || sets_.nodes(p.set) >= kMaxNodes || sets_.nodes(u.set) >= kMaxNodes) return false;
    if (settled_.count(producer) != settled_.count(user)) return false;
    if (user->is("rule_update"))
      return options_.updates && index == kGradient && p.form == Form::full && producer->shape() == u.domain;
    if (user->op->kind == Kind::row || (user->op->kind == Kind::reduce && u.form != Form::total))
      return p.form == Form::full && producer->shape() == u.domain;
    if (u.form == Form::total) return p.form == Form::row || producer->shape() == u.domain;
    if (u.form == Form::row) return p.form == Form::row;
    if (p.form == Form::row) return producer->shape() == rows_kept(u.domain);
    return producer->shape() == u.domain;
  }

  void analyse(const Node* node) {
    Info n;
    classify(node, n);
    if (is_settled(node, settled_)) settled_.insert(node);
    n.set = sets_.add(registers_of(node) + static_cast<int>(node->inputs.size()));
    const std::vector<bool> joins = inputs_to_join(node, n);
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      const Node* input = node->inputs[i].get();
      n.level = std::max(n.level, level_after(infos_.at(input), input, node, joins[i]));
    }
    // A view of what another step leaves in memory is no part of this one.
    if (node->is("reshape") && !joins[0]) n.member = false;
    if (n.form == Form::total && !joins[0]) n.domain = node->inputs[0]->shape();  // of a value in memory, not of a tile's rows
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      const Node* input = node->inputs[i].get();
      const Info& p = infos_.at(input);
      if (joins[i] && p.level == n.level) {
        sets_.unite(n.set, p.set);
        sets_.share_register(n.set);
      }
      if (products_.count(input) > 0 && can_join(input, p, node, n, i)) join_readers(input, n);
    }
    infos_[node] = n;
  }

  // Of each input whether the node may be in its program, as far as one program has registers for them all.
  std::vector<bool> inputs_to_join(const Node* node, const Info& n) const {
    std::vector<bool> joins(node->inputs.size(), false);
    std::vector<size_t> sets;
    int registers = sets_.registers(n.set);
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      const Info& p = infos_.at(node->inputs[i].get());
      if (!p.member || !can_join(node->inputs[i].get(), p, node, n, i)) continue;
      const size_t set = sets_.find(p.set);
      if (std::find(sets.begin(), sets.end(), set) == sets.end()) {
        const int more = sets_.registers(set);
        if (registers + more > kMaxRegisters) continue;
        registers += more;
        sets.push_back(set);
      }
      joins[i] = true;
    }
    return joins;
  }

  // Those that read a product are to be the one program behind it, as far as one has registers for them.
  void join_readers(const Node* product, const Info& n) {
    size_t& readers = readers_[product].emplace(n.level, n.set).first->second;
    if (sets_.are_one(readers, n.set) || sets_.registers(readers) + sets_.registers(n.set) <= kMaxRegisters)
      sets_.unite(n.set, readers);
    else
      readers = n.set;  // the next ones begin anew
  }

  // The least level of a node's user on account of it. Settled values are there before any program runs; their own programs have levels
  // among themselves.
  int level_after(const Info& i, const Node* node, const Node* user, bool joins) const {
    if (settled_.count(node) > settled_.count(user)) return 0;
    return i.level + (joins || node->op->kind == Kind::source || is_multiplied(products_, node, user) ? 0 : 1);
  }

  // A program whose results only one later program reads moves into it: nothing else waits for them, and what it reads is there even
  // earlier. `last` is the last node of its set.
  void sink(const Node* last) {
    const size_t set = set_of(last);
    if (!infos_.at(last).member || !sunk_.insert(set).second) return;
    const Node* first_user = nullptr;
    for (const Node* node : members_[set])
      for (const Node* user : users_.at(node))
        if (set_of(user) != set && first_user == nullptr) first_user = user;
    if (first_user == nullptr || !infos_.at(first_user).member) return;
    const size_t target = set_of(first_user);
    if (sets_.nodes(target) + sets_.nodes(set) > kMaxNodes || sets_.registers(target) + sets_.registers(set) > kMaxRegisters)
      return;
    for (const Node* node : members_[set])
      for (const Node* user : users_.at(node))
        if (set_of(user) != set && !joins_later(node, user, target)) return;
    const int level = infos_.at(first_user).level;
    for (const Node* node : members_[set]) {
      infos_.at(node).level = level;
      members_[target].push_back(node);
    }
    sets_.unite(target, set);
  }

  bool joins_later(const Node* node, const Node* user, size_t target) const {
    const Info &n = infos_.at(node), &u = infos_.at(user);
    if (sets_.find(u.set) != target || u.level <= n.level) return false;
    for (size_t i = 0; i < user->inputs.size(); ++i)
      if (user->inputs[i].get() == node && !can_join(node, n, user, u, i)) return false;
    return true;
  }

  const Products& products_;
  const Users& users_;
  const FusionOptions options_;
  std::unordered_map<const Node*, Info> infos_;
  // Of each product, by their level: one set of those that read it, which all of that level join.
  std::unordered_map<const Node*, std::unordered_map<int, size_t>> readers_;
  std::unordered_set<const Node*> settled_;
  std::unordered_map<size_t, std::vector<const Node*>> members_;
  std::unordered_set<size_t> sunk_;
  NodeSets sets_;
};

// The programs that the sets of nodes become: which product each takes, and what others need of it.
class Clusterer {
 public:
  Clusterer(const std::vector<const Node*>& order, const std::unordered_set<const Node*>& wanted, const FusionOptions& options)
      : order_(order), wanted_(wanted), options_(options) {}

  Clustering run() {
    for (const Node* node : order_)
      for (const auto& input : node->inputs) users_[input.get()].push_back(node);
    result_.products = find_products(order_, wanted_, users_);
    for (const Node* node : order_) users_.try_emplace(node);  // also where nothing reads it
    collect(Grouping(order_, result_.products, users_, options_));
    if (options_.epilogues) absorb_products();
    mark_stored();
    return std::move(result_);
  }

 private:
  void collect(const Grouping& grouping) {
    std::unordered_map<size_t, size_t> index_of;
    for (const Node* node : order_) {
      const Info& n = grouping.info(node);
      if (!n.member) continue;
      const auto [entry, fresh] = index_of.emplace(grouping.set_of(node), result_.clusters.size());
      if (fresh) {
        result_.clusters.emplace_back();
        result_.clusters.back().domain = n.domain;
        result_.clusters.back().compute = n.compute;
      }
      Cluster& cluster = result_.clusters[entry->second];
      cluster.nodes.push_back(node);
      cluster.forms[node] = n.form;
      cluster.has_rows = cluster.has_rows || n.form == Form::row || node->op->kind == Kind::row;
      const bool matrix = n.domain.size() > 1 && n.domain.back() != Dim(1);
      const bool sums = n.form == Form::column_sum || (n.form == Form::total && matrix);
      cluster.has_columns = cluster.has_columns || sums || node->is("one_hot");
      result_.of[node] = entry->second;
    }
  }

  bool can_absorb(const Node* product, const Cluster& cluster) const {
    const DType type = product->dtype();
    if (cluster.product != nullptr || cluster.domain != product->shape() || cluster.compute != type) return false;
    if (cluster.has_rows && !(cluster.domain.back().constant() && cluster.domain.back().offset <= kMaxWholeRow)) return false;
    // Sums are cut by the rows of the whole tensor, a stack of products by each one's own.
    return !cluster.has_columns || product->inputs[1]->shape().size() <= 2;
  }

  // The last product that feeds a cluster, and feeds nothing else, runs together with it.
  void absorb_products() {
    for (size_t k = order_.size(); k-- > 0;) {
      const Node* product = order_[k];
      const auto made = result_.products.find(product);
      if (made == result_.products.end() || users_[product].empty() || is_gram(made->second.matmul)) continue;
      const auto first = result_.of.find(users_[product][0]);
      if (first == result_.of.end()) continue;
      Cluster& cluster = result_.clusters[first->second];
      bool all = can_absorb(product, cluster);
      for (const Node* user : users_[product]) {
        const auto found = result_.of.find(user);
        all = all && found != result_.of.end() && found->second == first->second && reads_whole(user, product, cluster);
      }
      if (!all) continue;
      cluster.product = product;
      result_.of[product] = first->second;
    }
  }

  bool reads_whole(const Node* user, const Node* product, const Cluster& cluster) const {
    if (user->is("rule_update")) return options_.updates && user->inputs[kGradient].get() == product;
    if (user->op->kind == Kind::elementwise) return cluster.forms.at(user) == Form::full;
    return true;
  }

  void mark_stored() {
    for (Cluster& cluster : result_.clusters) {
      const auto mine = [&](const Node* node) { return cluster.forms.count(node) > 0; };
      std::vector<const Node*> candidates = cluster.nodes;
      if (cluster.product != nullptr) candidates.push_back(cluster.product);
      for (const Node* node : candidates) {
        bool needed = wanted_.count(node) > 0;
        for (const Node* user : users_[node]) needed = needed || !mine(user);
        if (needed) store(cluster, memory_of(node));
      }
    }
  }

  // A row value under another shape is stored as itself; the product is stored by its own step.
  static void store(Cluster& cluster, const Node* node) {
    const auto& stored = cluster.stored;
    if (node != cluster.product && std::find(stored.begin(), stored.end(), node) == stored.end()) cluster.stored.push_back(node);
  }

  const std::vector<const Node*>& order_;
  const std::unordered_set<const Node*>& wanted_;
  const FusionOptions options_;
  Users users_;
  Clustering result_;
};

}  // namespace

std::vector<const Node*> written_by(const std::vector<const Node*>& nodes) {
  std::vector<const Node*> written;
  for (const Node* node : nodes) {
    if (node->is("assign")) written.push_back(node->inputs[0].get());
    if (!node->is("rule_update")) continue;
    written.push_back(node->inputs[kParameter].get());
    for (size_t i = kFirstSlot; i < node->inputs.size(); ++i) written.push_back(node->inputs[i].get());
  }
  return written;
}

Clustering make_clusters(const std::vector<const Node*>& order, const std::unordered_set<const Node*>& wanted,
                         const FusionOptions& options) {
  return Clusterer(order, wanted, options).run();
}

}  // namespace lamina::runtime
