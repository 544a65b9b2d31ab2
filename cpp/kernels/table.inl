// The table of one instruction set: every instruction, conversion, rule and product, under its name.
#pragma once

#include "kernels/activations.inl"
#include "kernels/convert.inl"
#include "kernels/elimination.inl"
#include "kernels/gemm.inl"
#include "kernels/outer.inl"
#include "kernels/random.inl"
#include "kernels/rows.inl"
#include "kernels/secant.inl"
#include "kernels/softmax.inl"
#include "kernels/transpose.inl"
#include "kernels/triangular.inl"
#include "kernels/update_sweep.inl"
#include "kernels/work.inl"

#define LAMINA_TEXT_OF(x) #x
#define LAMINA_TEXT(x) LAMINA_TEXT_OF(x)

LAMINA_KERNELS_BEGIN

template <class F>
constexpr TileEntry elementwise_entry() {
  return {F::name, F::arity, 1, work_of<F>(), {elementwise<float, F>, elementwise<double, F>}};
}

template <class Op>
constexpr TileEntry row_entry(const char* name) {
  return {name, 1, 1, kPassWork, {row_reduce<float, Op>, row_reduce<double, Op>}};
}

template <class Op>
constexpr TileEntry arg_entry(const char* name) {
  return {name, 1, 1, kPassWork, {row_arg<float, Op>, row_arg<double, Op>}};
}

template <class Op>
constexpr TileEntry column_entry(const char* name) {
  return {name, 1, 1, kPassWork, {column_reduce<float, Op>, column_reduce<double, Op>}};
}

template <class Instructions, class Activations>
struct Tiles;

template <class... Fs, class... As>
struct Tiles<List<Fs...>, List<As...>> {
  static constexpr TileEntry all[] = {
      elementwise_entry<Fs>()...,
      elementwise_entry<Forward<As>>()...,
      elementwise_entry<Backward<As>>()...,
      {"one_hot", 1, 1, kPassWork, {one_hot<float>, one_hot<double>}},
      {"softmax", 1, 5, kSoftmaxWork, {softmax<float>, softmax<double>}},
      {"plus_max", 2, 2, kPassWork, {plus_max<float>, plus_max<double>}},
      row_entry<SumOf>("row_sum"),
      row_entry<MaxOf>("row_max"),
      row_entry<MinOf>("row_min"),
      arg_entry<MaxOf>("row_argmax"),
      arg_entry<MinOf>("row_argmin"),
      column_entry<SumOf>("column_sum"),
      column_entry<MaxOf>("column_max"),
      column_entry<MinOf>("column_min"),
  };
  static constexpr int count = int(sizeof(all) / sizeof(all[0]));
};

template <class Rule>
constexpr RuleEntry rule_entry() {
  return {Rule::name,
          Rule::slots,
          Rule::hypers,
          Rule::slot_names,
          Rule::hyper_names,
          prepare_rule<Rule>,
          {apply_rule<float, Rule>, apply_rule<double, Rule>}};
}

template <class List>
struct RuleTable;

template <class... Rs>
struct RuleTable<List<Rs...>> {
  static constexpr RuleEntry all[] = {rule_entry<Rs>()...};
};

template <class T>
constexpr GemmKernel gemm_kernel() {
  return {kTileRows,   kTileVectors * kLanes<T>, kPiece, kPackedRows<T>, block<T>, room<T>, part<T>, packs_a<T>, narrow<T>,
          transpose<T>};
}

using AllTiles = Tiles<Elementwise, activations::Activations>;
using AllRules = RuleTable<Rules>;

LAMINA_KERNELS_END

namespace lamina::kernels::LAMINA_ISA {

#define LAMINA_CONVERT_FROM(From) {convert<From, Bool>, convert<From, int64_t>, convert<From, float>, convert<From, double>}

// The only symbol of the file that others see.
extern const Table table;
constinit const Table table = {
    LAMINA_TEXT(LAMINA_ISA),
    kVectorBytes,
    AllTiles::all,
    AllTiles::count,
    {LAMINA_CONVERT_FROM(Bool), LAMINA_CONVERT_FROM(int64_t), LAMINA_CONVERT_FROM(float), LAMINA_CONVERT_FROM(double)},
    AllRules::all,
    int(sizeof(AllRules::all) / sizeof(RuleEntry)),
    {gemm_kernel<float>(), gemm_kernel<double>()},
    {outer<float>, outer<double>},
    {substitute_column<float>, substitute_column<double>},
    {substitute_rows<float>, substitute_rows<double>},
    eliminate,
    substitute_upwards,
    solve_positive,
    solve_again,
    secant,
    {uniform<float>, uniform<double>},
};

}  // namespace lamina::kernels::LAMINA_ISA
