/**
 * Ridgepoint's public API: what the command line does, as functions; taking part in a fleet is the command line's alone.
 * @module
 */
export type { Clock } from './core/clock.ts';
export { SimulatedClock, systemClock } from './core/clock.ts';
export {
  ConfigError,
  EnvironmentError,
  InfeasibleModelError,
  InterruptedError,
  InvalidFileError,
  RidgepointError,
  UnreachableLimitError,
} from './core/errors.ts';
export { Random } from './core/random.ts';
export type { Choices, Cost, Fidelity, Metrics, Outcome } from './core/trial.ts';

export { buildNetwork } from './models/build.ts';
export { type Count, countGraph, type NetworkCount } from './models/counts.ts';
export { exportOnnx, type Preprocessing } from './models/export.ts';
export type { Graph, Weights } from './models/graph.ts';
export { type Growth, growthBetween } from './models/growth.ts';
export { grownWeights } from './models/grown-weights.ts';
export { initialWeights } from './models/initialise.ts';
export { type Kernel, type KernelProgram, onnxGraphOf, readKernels } from './models/kernels.ts';
export { type OnnxGraph, readOnnx } from './models/onnx.ts';
export { type NetworkSpec, networkSpecSchema, parseNetworkSpec, specDigest } from './models/spec.ts';
export { readModelFile, readSpecFile } from './models/spec-file.ts';
export { type ModelSpec, parseTransformerSpec, type TransformerSpec } from './models/transformer.ts';

export type { Dataset } from './data/dataset.ts';
export { Grammar } from './data/grammar.ts';
export { loadDataset } from './data/load.ts';
export { loadText, type Text, type TextSource } from './data/text.ts';

export { BayesianSearch } from './search/bayesian.ts';
export type { Controller, ObservedTrial, SearchOptions } from './search/controller.ts';
export { type ControllerName, controllerNames, openController } from './search/controllers.ts';
export type { EarlierStudy, EarlierTrial } from './search/earlier-study.ts';
export type { Evaluator } from './search/evaluator.ts';
export { RegularizedEvolution } from './search/evolution.ts';
export { LocalSearch } from './search/local-search.ts';
export { Members } from './search/members.ts';
export { cellIdentity, cellText, nasBench201 } from './search/nas-bench-201.ts';
export { graphIdentity, networkIdentity } from './search/network-identity.ts';
export { Nsga2 } from './search/nsga2.ts';
export { accuracyAndLatencies, type Objective } from './search/objectives.ts';
export { dominates, hypervolume, nonDominated } from './search/pareto.ts';
export { dominatesBeyondNoise, promotionOrder, type RungResult } from './search/promotion.ts';
export { type ProxyPair, type ProxyQuality, proxyQuality } from './search/proxy-quality.ts';
export {
  accuracyRegrets,
  byWorstRegret,
  deviceFront,
  type DeviceMeasures,
  deviceTransfer,
  latencyRegrets,
  type LeastRegret,
  leastRegretFront,
  type LeastRegretWithin,
  leastRegretWithin,
  type Transfer,
} from './search/regret.ts';
export { RandomSearch } from './search/random.ts';
export { Reinforce } from './search/reinforce.ts';
export { type Reward, rewardOf } from './search/reward.ts';
export { calibrateRung, type RungPair } from './search/rung-calibration.ts';
export { decode, oneOf, type SpaceNode } from './search/space.ts';
export { builtInSpace } from './search/spaces.ts';
export {
  type Assignment,
  type RungAnswer,
  SuccessiveHalving,
  type SuccessiveHalvingOptions,
} from './search/successive-halving.ts';
export { readTable, type ResultTable, type TableConfig } from './search/table.ts';

export { applyMultipliers, partOf } from './scaling/apply.ts';
export { builtInNetwork, builtInNetworkNames, loadNetwork } from './scaling/built-in-networks.ts';
export { activationsRatio, compose, macsRatio, type Multipliers, paramsRatio } from './scaling/multipliers.ts';
export { type Elasticity, fitElasticity } from './scaling/elasticity.ts';
export { type FamilyRange, selectFamily } from './scaling/family-selection.ts';
export { latencyDesign } from './scaling/latency-design.ts';
export { proposeScalings } from './scaling/optimizer.ts';
export { compoundRule, fastScalingRule, parseRule, type ScalingRule } from './scaling/rules.ts';

export {
  allocate,
  type AllocationMapping,
  type ComputeBudget,
  fittedMapping,
  publishedMapping,
} from './scaling/allocate.ts';
export {
  allocateExamples,
  evenExamples,
  type FamilyBudget,
  type FamilyPart,
  leanToEven,
} from './scaling/family-budget.ts';
export { parseFitFile, writeFitFile } from './scaling/fit-file.ts';
export type { Penalty } from './scaling/fit-penalty.ts';
export { type FitReport, fitRuns, type FittedLaw } from './scaling/fit-report.ts';
export { type OutlierPolicy, parseRuns, type Run } from './scaling/fit-runs.ts';
export { effectiveData } from './scaling/laws/data-constrained.ts';
export { cheapestForLoss } from './scaling/laws/inference-aware.ts';
export {
  type AllocationTuple,
  lossAt,
  type LossLaw,
  naturalValues,
  type Point,
  thetaOf,
  trainingFlops,
} from './scaling/laws/law.ts';
export { lossLaws, publishedLaws, publishedPowerLaws } from './scaling/laws/laws.ts';
export { lossInTime, timeExponents } from './scaling/laws/wall-clock.ts';
export { type Allocation, type Cluster, type Plan, plan, type PlanRequest } from './scaling/plan.ts';
export {
  type FamilyPlan,
  type FamilyPlanAllocation,
  type FamilyPlanRequest,
  planFamily,
} from './scaling/plan-family.ts';
export { proposeTrials, type TrialDesign } from './scaling/plan-design.ts';
export { parseTimedSteps } from './scaling/step-time-runs.ts';
export {
  type ConvolutionStep,
  fitConvolutionTime,
  fitStepTime,
  stepTimeS,
  type StepTimeModel,
  type TrainingStep,
} from './scaling/step-time.ts';
export { scaleTransformer } from './scaling/scale-transformer.ts';
export { type TransformerShape, transformerParams } from './scaling/transformer-shape.ts';

export { detectAccelerators } from './accelerators/detect.ts';
export { type DeviceProfile, deviceProfileSchema, ridgePoint } from './accelerators/device-profile.ts';
export { findProfile, parseProfile } from './accelerators/profile-file.ts';
export { UnsupportedModelError } from './accelerators/onnxruntime.ts';
export { deviceProfiles } from './accelerators/profiles.ts';
export { calibratedProfile, observeNetworks } from './latency/calibrate.ts';
export { openObservations } from './latency/calibration-observations.ts';
export { calibrateProfile, type CalibrationPoint } from './latency/calibrate-profile.ts';
export { measureInChild, type Meter, type MeterRequest, openMeter } from './latency/isolate.ts';
export type { Latency } from './latency/latency.ts';
export { Ledger, type LedgerIdentity } from './latency/ledger.ts';
export { type Prediction, predictLatency } from './latency/predicted.ts';
export { type Protocol, protocols } from './latency/protocol.ts';
export type { Offline, Server, ServerQuestion } from './latency/scenario.ts';
export { chooseSetting, type RunSetting, type TriedSetting } from './latency/setting.ts';
export { verifiable, verifyEntry } from './latency/verify.ts';

export { type Command, readCommand } from './commands/declaration.ts';
export { type CommandProtocol, commandProtocols } from './commands/sampling.ts';
export { type CommandTarget, openCommandTarget } from './commands/target.ts';
export { type CommandTrainer, openCommandTrainer } from './commands/trainer.ts';

export { tfjsTrainer } from './training/tfjs-trainer.ts';
export { heuristicNames, type ScheduleChoice } from './training/heuristic-schedules.ts';
export { plannedMacs, planStages, type StagePlan } from './training/stage-plan.ts';
export type { Recipe, Trainer, TrainingStage, TrainingTask } from './training/trainer.ts';
export { type TrainingSchedule, trainingScheduleSchema } from './training/training-schedule.ts';

export { type Clause, conform } from './study/conform.ts';
export {
  type Instantiated,
  type InstantiatedNetwork,
  instantiate,
  instantiateNetwork,
} from './study/train/instantiate.ts';
export { openLatencyMeter } from './study/evaluation/meter.ts';
export { type Replay, replaySearch, studyTable, tableTransfer } from './study/search/replay.ts';
export { type Calibration, variantOf, type VariantPrecision, type VariantRequest } from './study/deliver/quantize.ts';
export { quantizeFile, type QuantizedFile, type QuantizeFileRequest } from './study/deliver/quantize-file.ts';
export { readFactoryFile } from './study/factory-file.ts';
export { isFactoryFolder, rebuildFactoryResults } from './study/factory-results.ts';
export { factoryFamily, type FactoryFamily, type FactorySummary } from './study/factory-summary.ts';
export { scaleFactory, type ScaleFactoryOptions } from './study/scale-factory.ts';
export { readStudyFile, resolveStudy } from './study/resolve-study.ts';
export type { StudyConfig } from './study/study-file.ts';
export { auditProxies, type AuditedProxy, type ProxyAudit } from './study/search/proxy-audit.ts';
export { type RequestAnswer, requestOf, type StudyRequest } from './study/requests.ts';
export { runStudy, type StudyOptions } from './study/study.ts';
export { type TrainedLanguageModel, trainLanguageModel } from './study/train/train-language-model.ts';
export { trainNetwork } from './study/train/train-network.ts';
export {
  type TriedSchedule,
  searchSchedule,
  type ScheduleSearchRequest,
  type ScheduleSearchResult,
} from './study/train/schedule-search.ts';
export { loadSchedule } from './study/evaluation/training-schedule.ts';
export {
  scoreUntrainedNetwork,
  type UntrainedNetwork,
  type UntrainedNetworkRequest,
} from './study/evaluation/untrained-network.ts';
export { logTrials } from './study/train/run-logging.ts';
export { scoreStudy } from './study/zero-cost.ts';
export { renderReport } from './report/html.ts';
export { openRunLog } from './report/run-log/place.ts';
export type { OpenRun, RunEnd, RunLog, RunPoint, RunStart, WholeRun } from './report/run-log/run-log.ts';
export { type HandedOver, type HandoverFormat, handoverFormats, handOver } from './handover/export.ts';
export type { BundleManifest } from './handover/manifest.ts';
export { folderSubjects, specSubject, type Subject } from './handover/subject.ts';
export { type Finding, findBundles, verifyBundle, type VerifyRequest } from './handover/verify.ts';
export { Runs } from './dashboard/runs.ts';
export { Dashboard, type DashboardOptions } from './dashboard/server.ts';
